"""Two trainings in one work directory: the second is refused while the first lives, no longer."""

import os
import signal

import pytest

from mim_bench.cli.main import main
from mim_bench.engine import one_training
from mim_bench.engine.one_training import LOCK_FILE, only_training
from mim_bench.errors import TrainingError
from mim_bench.testing.stages import Stage
from mim_bench.testing.waiting import wait_until


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(one_training, '_PATIENCE_S', 1)


@pytest.fixture
def running(toy_root, tmp_path):
    """A stage, and its training in the folder ``run`` after the first update."""
    stage = Stage('pretrain-ummae', toy_root, tmp_path)
    run = stage.start('run')
    wait_until(lambda: stage.updates('run'))
    yield stage, run
    run.processes[0].kill()
    run.wait()


def test_second_training_is_refused_until_the_first_is_killed(running, impatient, tmp_path, capsys):
    stage, run = running
    work_dir, pid = tmp_path / 'run', run.processes[0].pid
    os.kill(pid, signal.SIGSTOP)  # so that only the second could write
    words = ['train', str(stage.base), '--data-root', str(stage.data), '--work-dir', str(work_dir)]
    files = {path: path.stat().st_mtime_ns for path in work_dir.rglob('*')}

    for more in ([], ['--auto-resume']):
        assert main([*words, *more, '--results-dir', str(tmp_path / 'second')]) == 1
        message = capsys.readouterr().err
        assert f'{work_dir}: another training runs in it (process {pid} on ' in message
        assert 'Stop it, or give another --work-dir.' in message
    assert {path: path.stat().st_mtime_ns for path in work_dir.rglob('*')} == files
    assert not (tmp_path / 'second').exists()

    (work_dir / LOCK_FILE).write_text('1 elsewhere')  # as if it ran on another machine
    with only_training(work_dir, 'none', is_restart=True):
        assert 'It is taken for dead' in capsys.readouterr().out
    with (
        pytest.raises(TrainingError, match=rf'If elsewhere is dead, delete .*{LOCK_FILE}'),
        only_training(work_dir, 'none', is_restart=False),
    ):
        pass

    os.kill(pid, signal.SIGKILL)
    assert stage.start('run').wait() == [0]
    assert stage.saved('run') == stage.num_iters


def test_second_process_of_a_run_needs_no_lock(tmp_path, monkeypatch):
    monkeypatch.setenv('RANK', '1')

    with only_training(tmp_path, 'pytorch', is_restart=False):
        assert not any(tmp_path.iterdir())
