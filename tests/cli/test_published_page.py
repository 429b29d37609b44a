import re
from pathlib import Path

from mim_bench.report.comparison import AP_TOLERANCE, MIOU_TOLERANCE, TOP1_TOLERANCE
from mim_bench.report.wording import MOST_PAIRS
from mim_bench.results.published import FOLDER, load_published, read_published

PAGE = (Path(__file__).parents[2] / 'docs' / 'published.md').read_text('utf-8')


def test_page_lists_the_files_and_how_much_they_hold(tmp_path):
    rows = re.findall(r'^\| `([\w-]+\.yml)` \| .+ \| (\d+) \| (\d+) \|$', PAGE, re.MULTILINE)
    assert [row[0] for row in rows] == sorted(path.name for path in FOLDER.glob('*.yml'))
    for name, num_results, num_costs in rows:
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes((FOLDER / name).read_bytes())
        found = read_published(folder)
        assert (len(found.results), len(found.costs)) == (int(num_results), int(num_costs)), name


def test_page_states_the_tolerances_and_the_limit():
    table = re.findall(r'^\| (top-1|mIoU|box AP).* \| ([\d.]+) \|$', PAGE, re.MULTILINE)
    assert {name: float(value) for name, value in table} == {
        'top-1': TOP1_TOLERANCE,
        'mIoU': MIOU_TOLERANCE,
        'box AP': AP_TOLERANCE,
    }
    assert f'at most {MOST_PAIRS}\npairs' in PAGE


def test_example_of_the_page_is_valid(tmp_path):
    (example,) = re.findall(r'^```yaml\n(.*?)^```', PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / 'example.yml').write_text(example)
    (result,) = read_published(tmp_path).results
    assert result.source.place == 'README, table 2'
    assert result.method not in {known.method for known in load_published().results}
