import re
from pathlib import Path

from mim_bench.report.published import AP_TOLERANCE, MIOU_TOLERANCE, TOP1_TOLERANCE
from mim_bench.report.tables import MOST_PAIRS

PAGE = (Path(__file__).parents[2] / 'docs' / 'published.md').read_text('utf-8')


def test_page_states_the_tolerances_and_the_limit():
    table = re.findall(r'^\| (top-1|mIoU|box AP).* \| ([\d.]+) \|$', PAGE, re.MULTILINE)
    assert {name: float(value) for name, value in table} == {
        'top-1': TOP1_TOLERANCE,
        'mIoU': MIOU_TOLERANCE,
        'box AP': AP_TOLERANCE,
    }
    assert f'at most {MOST_PAIRS} pairs' in ' '.join(PAGE.split())
