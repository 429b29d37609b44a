"""The steps here are real commands: `doctor --help` ends well, `report nowhere` does not."""

import os
import sys
from dataclasses import replace

import pytest

from mim_bench.errors import ConfigError
from mim_bench.results.store import write_record
from mim_bench.suite import execute as module
from mim_bench.suite.execute import count_workers, execute, is_done
from mim_bench.suite.steps import Step
from mim_bench.testing.records import make_record

GOOD = ('doctor', '--help')
BAD = ('report', 'nowhere', '--out', 'never')


class Events:
    """Remembers what it is told."""

    def __init__(self, on_start=None):
        self.started_names, self.errors = [], {}
        self.on_start = on_start

    def started(self, step):
        self.started_names.append(step.name)
        if self.on_start:
            self.on_start(step)

    def finished(self, step, seconds, error):
        assert seconds > 0
        self.errors[step.name] = error


@pytest.fixture(autouse=True)
def fast_polls(monkeypatch):
    monkeypatch.setattr(module, 'POLL_SECONDS', 0.01)


@pytest.fixture
def go(tmp_path):
    """Execute a plan; the events of the last execution are its attribute."""

    def run(*plan, workers=2, **options):
        run.events = Events(options.pop('on_start', None))
        steps = tmp_path / 'steps'
        return execute(plan, steps, workers=workers, listener=run.events, **options)

    return run


def log_of(tmp_path, name):
    return (tmp_path / 'steps' / name / 'log.txt').read_text()


def test_execute_runs_a_step_and_keeps_its_log(go, tmp_path):
    outcome = go(Step('a', GOOD))
    assert list(outcome.ran) == ['a']
    assert outcome.is_complete
    assert go.events.errors == {'a': None}
    assert 'usage: mim-bench doctor' in log_of(tmp_path, 'a')


def test_execute_done_step_does_not_run_again(go):
    go(Step('a', GOOD))
    outcome = go(Step('a', GOOD))
    assert (outcome.done, outcome.ran) == (['a'], {})
    assert go.events.started_names == []


def test_execute_step_waits_for_what_it_needs(go):
    outcome = go(Step('a', GOOD), Step('b', GOOD, needs=('a',)))
    assert list(outcome.ran) == go.events.started_names == ['a', 'b']


def test_execute_missing_file_runs_its_step_again(go, tmp_path):
    write_record(make_record(), tmp_path / 'results')
    page = tmp_path / 'board' / 'leaderboard.md'
    step = Step(
        'a', ('report', str(tmp_path / 'results'), '--out', str(page.parent)), files=(page,)
    )
    go(step)
    assert go(step).done == ['a']
    page.unlink()
    assert list(go(step).ran) == ['a']
    assert page.exists()


def test_execute_command_that_leaves_no_file_has_failed(go, tmp_path):
    outcome = go(Step('a', GOOD, files=(tmp_path / 'absent',)))
    assert '(exit status 0;' in outcome.failed['a']


def test_execute_failure_loses_its_dependents_only(go):
    outcome = go(
        Step('bad', BAD),
        Step('child', GOOD, needs=('bad',)),
        Step('grandchild', GOOD, needs=('child',)),
        Step('other', GOOD),
    )
    assert list(outcome.failed) == ['bad']
    assert outcome.skipped == ['child', 'grandchild']
    assert list(outcome.ran) == ['other']
    assert not outcome.is_complete


def test_execute_failure_shows_the_end_of_its_own_log(go, tmp_path):
    go(Step('a', (*GOOD,), inputs='before'))
    error = go(Step('a', BAD)).failed['a']
    assert 'error: nowhere: no such folder of results.' in error
    assert f'(exit status 1; all of it: {tmp_path / "steps" / "a" / "log.txt"})' in error
    assert go.events.errors['a'] == error
    # The log holds the earlier execution too; the message does not.
    assert 'usage:' in log_of(tmp_path, 'a')
    assert 'usage:' not in error


def test_execute_failed_step_runs_again(go):
    go(Step('a', BAD))
    assert list(go(Step('a', BAD)).failed) == ['a']


def test_execute_changed_inputs_run_again_in_a_new_work_dir(go, tmp_path):
    step = Step('a', GOOD, work_dir=tmp_path / 'work', inputs='1')
    go(step)
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'epoch_1.pth').touch()
    assert list(go(replace(step, inputs='2')).ran) == ['a']
    assert not (tmp_path / 'work').exists()


def test_execute_same_inputs_go_on_from_the_work_dir(go, tmp_path):
    step = Step('a', BAD, work_dir=tmp_path / 'work')
    go(step)
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'epoch_1.pth').touch()
    go(step)
    assert (tmp_path / 'work' / 'epoch_1.pth').exists()


def test_execute_runs_no_more_at_a_time_than_workers(go, monkeypatch):
    running, most = set(), []

    def started(step):
        running.add(step.name)
        most.append(len(running))

    settle = module._settle
    monkeypatch.setattr(
        module,
        '_settle',
        lambda item, *rest: (running.discard(item.step.name), settle(item, *rest)),
    )
    go(*(Step(name, GOOD) for name in 'abcd'), workers=2, on_start=started)
    assert max(most) == 2


def test_execute_environment_reaches_the_step(go, monkeypatch, tmp_path):
    seen = []
    popen = module.subprocess.Popen
    monkeypatch.setattr(
        module.subprocess, 'Popen', lambda *a, **k: seen.append(k['env']) or popen(*a, **k)
    )
    go(Step('a', GOOD), environment={'OMP_NUM_THREADS': '3'})
    assert seen[0]['OMP_NUM_THREADS'] == '3'
    assert seen[0]['PATH'] == os.environ['PATH']


def test_execute_second_execution_in_the_folder_is_refused(go):
    refused = []

    def start_another(step):
        with pytest.raises(ConfigError, match='another process works in this folder') as error:
            go(Step('b', GOOD))
        refused.append(str(error.value))

    outcome = go(Step('a', GOOD), on_start=start_another)
    assert list(outcome.ran) == ['a']
    assert '--out' in refused[0]
    assert list(go(Step('b', GOOD)).ran) == ['b']


def test_execute_plan_with_a_step_that_could_never_run_is_refused(go):
    with pytest.raises(ConfigError, match='needs nobody'):
        go(Step('a', GOOD, needs=('nobody',)))


def test_execute_interrupted_kills_what_runs(go, monkeypatch):
    processes = []
    popen = module.subprocess.Popen

    def sleeper(command, **options):
        command = [sys.executable, '-c', 'import time; time.sleep(60)']
        processes.append(popen(command, **options))
        return processes[-1]

    def interrupt(step):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.subprocess, 'Popen', sleeper)
    with pytest.raises(KeyboardInterrupt):
        go(Step('a', GOOD), on_start=interrupt)
    assert processes[0].returncode == -9


@pytest.mark.parametrize(('error', 'expected'), [(None, True), ('it failed', False)])
def test_is_done_asks_the_record(tmp_path, error, expected):
    path = write_record(make_record(error=error), tmp_path / 'results')
    step = Step('a', GOOD, records=(path,))
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'fingerprint').write_text(step.fingerprint)
    assert is_done(step, tmp_path) is expected


def test_is_done_damaged_record_is_not_done(tmp_path):
    path = tmp_path / 'record.json'
    path.write_text('{')
    step = Step('a', GOOD, records=(path,))
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'fingerprint').write_text(step.fingerprint)
    assert not is_done(step, tmp_path)


def test_count_workers_default_is_the_cores_but_four_at_most():
    assert [count_workers(None, lambda n=n: n) for n in (None, 2, 64)] == [1, 2, 4]
    assert count_workers(7, lambda: 2) == 7


@pytest.mark.parametrize('wanted', [0, -1])
def test_count_workers_less_than_one_raises(wanted):
    with pytest.raises(ConfigError, match=f'--workers {wanted}'):
        count_workers(wanted)
