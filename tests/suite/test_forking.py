"""Steps in forked processes: their output, their status, their end."""

import subprocess
import sys
from pathlib import Path

import pytest

from mim_bench.cli.main import main
from mim_bench.suite import forking
from mim_bench.suite.forking import ForkingLauncher
from mim_bench.suite.steps import Step
from mim_bench.testing.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='forks on Linux only')


@pytest.fixture(scope='module')
def launcher():
    return ForkingLauncher(main, workers=1, environment={'OMP_NUM_THREADS': '1'})


def start(launcher, words, folder):
    return launcher.start(Step('x', words), words, folder / 'log.txt')


def test_forked_step_writes_its_log_and_gives_its_status_and_room_back(launcher, tmp_path):
    process = start(launcher, ('convert', 'nothing.pth', 'out.pth'), tmp_path)
    assert not launcher.has_room(Step('y', ('train',)))
    wait_until(lambda: process.poll() is not None)
    assert process.poll() == 1
    assert 'nothing.pth' in (tmp_path / 'log.txt').read_text()
    assert launcher.has_room(Step('y', ('train',)))


def test_forked_step_is_in_use_until_it_is_stopped(launcher, tmp_path, monkeypatch):
    monkeypatch.setattr(forking, '_COMMANDS', ('report',))
    words = ('report', str(tmp_path), '--out', str(tmp_path / 'board'), '--watch')
    claim = launcher.claim(Step('x', words), tmp_path)
    process = start(launcher, words, tmp_path)
    claim.note(process)
    assert claim.is_in_use
    process.stop()
    assert process.poll() < 0
    assert not claim.is_in_use
    claim.end()


_STARTER = """
import sys, time
from pathlib import Path
from mim_bench.cli.main import main
from mim_bench.suite import forking
from mim_bench.suite.steps import Step
from mim_bench.testing.waiting import wait_until
if __name__ == '__main__':
    folder = Path(sys.argv[1])
    forking._COMMANDS, forking._IMPORTED = ('report',), []
    launcher = forking.ForkingLauncher(main, workers=1, environment={})
    words = ('report', str(folder), '--out', str(folder / 'board'), '--watch')
    process = launcher.start(Step('x', words), words, folder / 'log.txt')
    print(process._process.pid, flush=True)
    time.sleep(600)
"""


def test_forked_step_ends_when_the_suite_is_killed(tmp_path):
    (tmp_path / 'start.py').write_text(_STARTER)
    command = [sys.executable, str(tmp_path / 'start.py'), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        step = int(starter.stdout.readline())
        starter.kill()
    wait_until(lambda: not Path(f'/proc/{step}').exists())
