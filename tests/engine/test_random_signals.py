"""Runs that get signals at random moments lose nothing, and end as undisturbed ones."""

import itertools
import os
import random
import signal
import time

import pytest

from mim_bench.testing.stages import INTERRUPTED, Stage

KINDS = ['pretrain-ummae', 'classify', 'segment', 'detect']
NUM_SIGNALS = 20


class Disturber:
    """Starts a run again and again, and sends each start a signal at a random moment.

    Two of three moments are a random number of updates after the start, and a part of an update;
    the others any time from the start of the process on.
    """

    def __init__(self, stage, signals, seed):
        self.stage, self.signals, self.random = stage, signals, random.Random(seed)
        self.num_sent = 0

    def run(self, work_dir, most):
        """Up to ``most`` signals; then the run may end. Returns when it has ended."""
        stage = self.stage
        while True:
            run = stage.start(work_dir)
            if self.num_sent < most and self._wait(run, work_dir):
                before = stage.updates(work_dir)
                self._send(run)
                statuses = run.wait()
                is_killed = self.signals == [signal.SIGKILL]
                shown = (statuses, before, stage.saved(work_dir), run.text('stderr')[-2000:])
                assert is_killed or stage.saved(work_dir) >= before - 1, shown
            statuses = run.wait()
            if not any(statuses):
                return
            expected = {INTERRUPTED, *(-number for number in self.signals)}
            assert expected & set(statuses), (statuses, run.text('stderr')[-3000:])

    def _wait(self, run, work_dir):
        """Whether the run still runs at the moment."""
        begun = self.stage.updates(work_dir)
        target, end = 0, time.monotonic()
        if self.random.random() < 2 / 3:
            target = self.random.randint(begun, self.stage.num_iters)
        else:
            end += self.random.uniform(0, 8)
        while all(process.is_alive() for process in run.processes):
            if self.stage.updates(work_dir) >= target and time.monotonic() >= end:
                time.sleep(self.random.uniform(0, 0.3))
                return all(process.is_alive() for process in run.processes)
            time.sleep(0.05)
        return False

    def _send(self, run):
        number = self.random.choice(self.signals)
        everyone = self.random.random() < 0.5 or number == signal.SIGKILL
        for process in run.processes if everyone else [self.random.choice(run.processes)]:
            if process.is_alive():
                os.kill(process.pid, number)
        self.num_sent += 1


def disturb(stage, signals, num_signals, seed):
    """Disturb runs until so many signals were sent, and compare each with an undisturbed one."""
    assert not any(stage.start('undisturbed').wait())
    end = stage.end('undisturbed')
    assert end['iter'] == len(end['losses']) == stage.num_iters
    disturber = Disturber(stage, signals, seed)
    for number in itertools.count():
        disturber.run(f'disturbed-{number}', num_signals)
        assert stage.end(f'disturbed-{number}') == end
        if disturber.num_sent == num_signals:
            return


@pytest.mark.slow
@pytest.mark.parametrize('num_processes', [1, 2])
@pytest.mark.parametrize('name', KINDS)
def test_run_that_gets_signals_at_random_moments_ends_as_an_undisturbed_one(
    name, num_processes, toy_root, tmp_path
):
    stage = Stage(name, toy_root, tmp_path, num_processes)
    disturb(stage, [signal.SIGTERM, signal.SIGUSR1], NUM_SIGNALS, seed=f'{name} {num_processes}')


@pytest.mark.slow
@pytest.mark.parametrize('name', KINDS)
def test_run_that_is_killed_at_random_moments_ends_as_an_undisturbed_one(name, toy_root, tmp_path):
    disturb(Stage(name, toy_root, tmp_path), [signal.SIGKILL], NUM_SIGNALS // 4, seed=name)
