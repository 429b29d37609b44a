import re
from pathlib import Path

from mim_bench.report.published import AP_TOLERANCE, MIOU_TOLERANCE, TOP1_TOLERANCE
from mim_bench.report.tables import MOST_PAIRS
from mim_bench.results.published import load_published, read_published

PAGE = (Path(__file__).parents[2] / 'docs' / 'published.md').read_text('utf-8')


def test_page_states_the_tolerances_and_the_limit():
    table = re.findall(r'^\| (top-1|mIoU|box AP).* \| ([\d.]+) \|$', PAGE, re.MULTILINE)
    assert {name: float(value) for name, value in table} == {
        'top-1': TOP1_TOLERANCE,
        'mIoU': MIOU_TOLERANCE,
        'box AP': AP_TOLERANCE,
    }
    assert f'at most {MOST_PAIRS} pairs' in ' '.join(PAGE.split())


def test_example_of_the_page_is_valid(tmp_path):
    (example,) = re.findall(r'^```yaml\n(.*?)^```', PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / 'example.yml').write_text(example)
    (result,) = read_published(tmp_path)
    assert result.label == 'owner/example-mim@0123456, README.md'
    assert result.method not in {known.method for known in load_published()}
