import pytest

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


def test_report_missing_folder_is_one_message_and_status_one(tmp_path, capsys):
    assert main(['report', str(tmp_path / 'nowhere'), '--out', str(tmp_path / 'out')]) == 1
    assert 'error:' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_report_help_has_an_example(capsys):
    with pytest.raises(SystemExit, match='0'):
        main(['report', '--help'])
    assert 'mim-bench report results --out' in capsys.readouterr().out
