import os
import subprocess
import sys

import pytest

from mim_bench.suite import leases
from mim_bench.suite.launching import LocalLauncher, process_start
from mim_bench.suite.leases import Lease
from mim_bench.suite.steps import Step

HOLDER = """
import sys, time
from mim_bench.suite.leases import Lease
lease = Lease(sys.argv[1])
print(lease.take(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, '-c', HOLDER, str(tmp_path / 'lease')]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'True\n'
        yield process
        process.kill()


def test_lease_is_held_by_one_and_free_when_it_ends(tmp_path):
    first, second = Lease(tmp_path / 'lease'), Lease(tmp_path / 'lease')
    assert first.take()
    assert not second.take()
    first.end()
    assert second.take()
    second.end()


def test_lease_of_a_killed_process_is_taken_at_once(tmp_path, holder):
    lease = Lease(tmp_path / 'lease')
    assert not lease.take()
    holder.kill()
    holder.wait()
    assert lease.take()
    lease.end()


def test_lease_of_a_dead_node_is_taken_when_its_heart_has_not_beaten(tmp_path, monkeypatch):
    """Whatever the clocks say: the file's time is of the holder's machine."""
    first = Lease(tmp_path / 'lease')
    assert first.take()
    marker = (tmp_path / 'lease').read_text().replace(os.uname().nodename, 'dead-node')
    first.end()
    (tmp_path / 'lease').write_text(marker)
    os.utime(tmp_path / 'lease', (4e9, 4e9))  # its clock runs years ahead
    now = [1000.0]
    monkeypatch.setattr('filelock._soft.time.monotonic', lambda: now[0])
    lease = Lease(tmp_path / 'lease')
    assert not lease.take()
    now[0] += leases.DURATION_S / 2
    assert not lease.take()
    now[0] += leases.DURATION_S
    assert lease.take()
    lease.end()


def test_claim_waits_for_what_a_killed_suite_left(tmp_path):
    launcher = LocalLauncher()
    with subprocess.Popen(['sleep', '60']) as left:
        start = process_start(left.pid)
        (tmp_path / 'process').write_text(f'{os.uname().nodename} {left.pid} {start}')
        assert launcher.claim(Step('a', ()), tmp_path) is None
        left.kill()
    claim = launcher.claim(Step('a', ()), tmp_path)
    assert claim is not None
    claim.end()
