import pytest

from mim_bench.cli.main import main
from mim_bench.compat import diagnosis
from mim_bench.compat.diagnosis import Finding


@pytest.fixture
def found(monkeypatch):
    """Let the command find what a test says."""
    monkeypatch.setenv('COLUMNS', '200')

    def pretend(*findings):
        monkeypatch.setattr(diagnosis, 'diagnose', lambda: list(findings))

    return pretend


def test_doctor_nothing_wrong_exits_zero(found, capsys):
    found(Finding('torch', '2.11.0'), Finding('operators', '9', mend='only a note'))
    assert main(['doctor']) == 0
    printed = capsys.readouterr().out
    assert '2.11.0' in printed
    assert 'note operators: only a note' in printed
    assert 'Training can run.' in printed


def test_doctor_failure_exits_one_and_prints_the_mend(found, capsys):
    found(Finding('torch', '2.11.0'), Finding('mmdet', 'not installed', False, "pip '.[onedl]'"))
    assert main(['doctor']) == 1
    printed = capsys.readouterr().out
    assert "fix mmdet: pip '.[onedl]'" in printed
    assert 'Training cannot run: mmdet.' in printed


def test_doctor_operators_lists_all(found, capsys):
    found(Finding('torch', '2.11.0'))
    assert main(['doctor', '--operators']) == 0
    printed = capsys.readouterr().out
    assert 'roi_align_forward:' in printed
    assert 'bbox_overlaps:' in printed


@pytest.mark.stack
def test_doctor_of_this_environment_can_train(capsys):
    assert main(['doctor']) == 0
    printed = capsys.readouterr().out
    assert 'mmdet' in printed
    assert 'softnms' in printed
