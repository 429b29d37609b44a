import re
from pathlib import Path

from mim_bench.results.statistics import AP_TOLERANCE, MIOU_TOLERANCE, TOP1_TOLERANCE

PAGE = (Path(__file__).parents[2] / 'docs' / 'published.md').read_text('utf-8')


def test_page_states_the_tolerances():
    stated = re.search(r'([\d.]+) points for top-1.* AP, ([\d.]+) for mIoU', ' '.join(PAGE.split()))
    assert [float(value) for value in stated.groups()] == [TOP1_TOLERANCE, MIOU_TOLERANCE]
    assert AP_TOLERANCE == TOP1_TOLERANCE
