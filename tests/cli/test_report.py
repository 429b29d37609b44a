from mim_bench.cli.main import main
from mim_bench.results.store import write_record
from mim_bench.testing.records import make_record


def test_report_prints_the_board_and_writes_three_files(tmp_path, capsys):
    write_record(make_record(metrics={'knn_top1': 51.2}), tmp_path / 'results')
    assert main(['report', str(tmp_path / 'results'), '--out', str(tmp_path / 'out')]) == 0
    printed = capsys.readouterr().out
    assert '51.2' in printed
    for kind in ('html', 'md', 'csv'):
        path = tmp_path / 'out' / f'leaderboard.{kind}'
        assert '51.2' in path.read_text('utf-8')
        assert str(path) in printed
