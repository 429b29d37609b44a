"""A disk that fills, turns read-only or vanishes under a training: one message; it resumes."""

import subprocess

import pytest

from mim_bench.testing.disk import small_disk
from mim_bench.testing.stages import Stage

ADVICE = {
    'full': 'No space left on device',
    'read-only': 'Read-only file system',
    'gone': 'No such file or directory',
}


@pytest.fixture
def disk(tmp_path):
    """A small disk under the folder of the run."""
    with small_disk(tmp_path / 'disturbed', 'size=48m') as folder:
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize('how', list(ADVICE))
def test_disk_that_refuses_in_the_middle_of_a_run(how, disk, toy_root, tmp_path):
    stage = Stage('pretrain-ummae', toy_root, tmp_path)
    assert stage.train('undisturbed') == 0
    run = stage.start('disturbed', f'dict(type="SpoilHook", iteration=7, how="{how}")')
    assert run.wait() == [1], run.text('stderr')[-3000:]
    messages = [line for line in run.text('stderr').splitlines() if line.startswith('error: ')]
    assert len(messages) == 1
    assert ADVICE[how] in messages[0]
    assert 'Traceback' not in run.text('stderr')
    if how == 'gone':
        assert not disk.exists()
    else:
        # The checkpoint of the first epoch is whole, and nothing of the second one is there.
        assert stage.saved('disturbed') == 5
        if how == 'read-only':
            subprocess.run(['umount', disk], check=True)
        else:
            (disk / 'filler').unlink()
        assert [path.name for path in disk.glob('.*.pth.*')] == []
    assert stage.train('disturbed') == 0
    assert stage.end('disturbed') == stage.end('undisturbed')
