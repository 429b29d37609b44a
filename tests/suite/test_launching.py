import os
import signal
import subprocess
import sys

import pytest

from mim_bench.cli.run import core_environment
from mim_bench.errors import ConfigError
from mim_bench.suite.devices import choose_gpus, count_workers, visible_gpus
from mim_bench.suite.guard import descendants
from mim_bench.suite.launching import GUARD, command_of
from mim_bench.suite.steps import Step
from mim_bench.testing.waiting import wait_until

# A launcher as torchrun is one: its process has a session of its own, and outlives it.
FAMILY = 'setsid sleep 60 & echo $! > {}; wait'


def test_command_of_a_run_of_several_processes_is_torchrun():
    command = command_of(Step('a', ('train', 'c.py'), gpus=4), ('train', 'c.py'))
    assert command[:3] == [sys.executable, '-m', 'mim_bench.suite.torchrun']
    assert '--nproc-per-node=4' in command
    assert command[-6:] == ['-m', 'mim_bench.cli.main', 'train', 'c.py', '--launcher', 'pytorch']


@pytest.mark.parametrize(('words', 'gpus'), [(('train', 'c.py'), 1), (('convert', 'a', 'b'), 4)])
def test_command_of_anything_else_is_one_process(words, gpus):
    command = command_of(Step('a', words, gpus=gpus), words)
    assert command == [sys.executable, '-m', 'mim_bench.cli.main', *words]


@pytest.mark.parametrize(('script', 'status'), [('exit 0', 0), ('exit 3', 3), ('kill -9 $$', 137)])
def test_guard_ends_as_its_command_does(script, status):
    assert subprocess.run([*GUARD, 'bash', '-c', script]).returncode == status


def start(tmp_path):
    child = tmp_path / 'child'
    guard = subprocess.Popen([*GUARD, 'bash', '-c', FAMILY.format(child)])
    wait_until(lambda: child.exists() and child.read_text().strip())
    return guard, int(child.read_text())


def test_guard_that_is_ended_ends_all_that_its_command_started(tmp_path):
    guard, child = start(tmp_path)
    # It is in a session of its own as soon as it got so far.
    wait_until(lambda: os.getsid(child) != os.getsid(guard.pid))
    guard.terminate()
    assert guard.wait(30) == 128 + signal.SIGTERM
    assert not os.path.exists(f'/proc/{child}')


def test_guard_whose_command_is_killed_ends_what_it_left(tmp_path):
    guard, child = start(tmp_path)
    (command,) = [
        pid for pid in descendants(guard.pid) if pid != child and child in descendants(pid)
    ]
    os.kill(command, signal.SIGKILL)
    assert guard.wait(30) == 128 + signal.SIGKILL
    assert not os.path.exists(f'/proc/{child}')


def test_visible_gpus_are_those_of_the_environment(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '2, GPU-abc')
    assert visible_gpus() == ['2', 'GPU-abc']
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert visible_gpus() == []


def test_visible_gpus_are_counted_by_nvidia_smi(monkeypatch, tmp_path):
    program = tmp_path / 'nvidia-smi'
    program.write_text('#!/bin/sh\necho "GPU 0: H200"; echo "  MIG x"; echo "GPU 1: H200"\n')
    program.chmod(0o755)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    monkeypatch.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')
    assert visible_gpus() == ['0', '1']
    program.unlink()
    monkeypatch.setenv('PATH', str(tmp_path))
    assert visible_gpus() == []


def test_choose_gpus_takes_as_many_as_asked_for():
    assert choose_gpus(None, ['0', '1']) == ['0', '1']
    assert choose_gpus(1, ['0', '1']) == ['0']
    assert choose_gpus(4, []) == []  # processes on the CPU


@pytest.mark.parametrize(('wanted', 'message'), [(0, '--gpus 0'), (3, r'only 2 are visible')])
def test_choose_gpus_that_cannot_be_raise(wanted, message):
    with pytest.raises(ConfigError, match=message):
        choose_gpus(wanted, ['0', '1'])


def test_count_workers_default_is_the_cores_but_four_at_most(monkeypatch):
    found = []
    for cores in (1, 2, 64):
        monkeypatch.setattr('mim_bench.suite.devices.usable_cores', lambda cores=cores: cores)
        found.append(count_workers(None))
    assert found == [1, 2, 4]
    assert count_workers(7) == 7


def test_count_workers_keeps_to_the_quota_of_a_container(monkeypatch, tmp_path):
    (tmp_path / 'cpu.max').write_text('200000 100000')
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(64)))
    monkeypatch.setattr('mim_bench.engine.cores.CGROUP', tmp_path)
    assert count_workers(None) == 2
    assert core_environment(1)['OMP_NUM_THREADS'] == '2'
