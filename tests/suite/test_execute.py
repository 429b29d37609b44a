"""The commands here are shell scripts: ``Step('a', ('touch x',))`` runs ``touch x``."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from mim_bench.errors import ConfigError, RunInterrupted
from mim_bench.results.store import write_record
from mim_bench.suite import execute as module
from mim_bench.suite import launching
from mim_bench.suite.done import is_done
from mim_bench.suite.endings import memory_kills
from mim_bench.suite.execute import Listener, Patience, execute
from mim_bench.suite.launching import LocalLauncher
from mim_bench.suite.leases import Lease
from mim_bench.suite.steps import Step
from mim_bench.testing.records import make_record
from mim_bench.testing.waiting import wait_until

GOOD = ('echo good',)
BAD = ('echo bad; exit 3',)
# What other suites on the same folder run, as a program of its own.
SUITE = """
import sys
from pathlib import Path
from mim_bench.suite import execute as module, launching
from mim_bench.suite.steps import Step
launching.command_of = lambda step, words: ['bash', '-c', words[0]]
launching.POLL_SECONDS = module.LOOK_SECONDS = 0.01
out = Path(sys.argv[1])
steps = [Step(f's{i}', (f'sleep 0.0{i % 5}; echo {i} >> {out}/{i}',), files=(out / str(i),))
         for i in range(int(sys.argv[2]))]
outcome = module.execute(steps, out / 'steps', launcher=launching.LocalLauncher(workers=2),
                         listener=module.Listener())
print(len(outcome.ran), len(outcome.done), len(outcome.failed))
"""


class Events(Listener):
    """Remembers what it is told."""

    def __init__(self, on_start=None):
        self.names, self.errors, self.attempts, self.retries = [], {}, [], []
        self.interruptions = []
        self.waited, self.were_taken = [], []
        self.on_start = on_start

    def started(self, step, attempt):
        self.names.append(step.name)
        self.attempts.append(attempt)
        if self.on_start:
            self.on_start(step)

    def waiting(self, step):
        self.waited.append(step.name)

    def taken(self, step):
        self.were_taken.append(step.name)

    def retrying(self, step, error):
        self.retries.append(error)

    def interrupted(self, step, times):
        self.interruptions.append(times)

    def finished(self, step, seconds, error):
        assert seconds > 0
        self.errors[step.name] = error


@pytest.fixture(autouse=True)
def scripts(monkeypatch, request):
    if 'guarded' not in request.fixturenames:  # a process more for each attempt
        monkeypatch.setattr(launching, 'GUARD', ())
    monkeypatch.setattr(launching, 'POLL_SECONDS', 0.01)
    monkeypatch.setattr(module, 'LOOK_SECONDS', 0.01)
    monkeypatch.setattr(launching, 'command_of', lambda step, words: ['bash', '-c', words[0]])


@pytest.fixture
def guarded():
    """Commands run under the guard, which ends all that they started."""


@pytest.fixture
def go(tmp_path):
    """Execute a plan; the events of the last execution are its attribute."""

    def run(*plan, workers=2, on_start=None, gpus=(), environment=None, patience=None, **options):
        run.events = Events(on_start)
        launcher = LocalLauncher(workers=workers, gpus=gpus, environment=environment)
        patience = patience or Patience(**options)
        steps = tmp_path / 'steps'
        return execute(plan, steps, launcher=launcher, listener=run.events, patience=patience)

    return run


def log_of(tmp_path, name):
    return (tmp_path / 'steps' / name / 'log.txt').read_text()


def test_execute_runs_a_step_and_keeps_its_log(go, tmp_path):
    outcome = go(Step('a', GOOD))
    assert list(outcome.ran) == ['a']
    assert outcome.is_complete
    assert go.events.errors == {'a': None}
    assert log_of(tmp_path, 'a') == 'good\n'


def test_execute_step_waits_for_what_it_needs(go):
    outcome = go(Step('a', GOOD), Step('b', GOOD, needs=('a',)))
    assert list(outcome.ran) == go.events.names == ['a', 'b']


def test_execute_missing_file_runs_its_step_again(go, tmp_path):
    page = tmp_path / 'page'
    step = Step('a', (f'touch {page}',), files=(page,))
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
    go(Step('a', GOOD, inputs='before'))
    error = go(Step('a', BAD)).failed['a']
    log = tmp_path / 'steps' / 'a' / 'log.txt'
    assert error == f'bad\n(exit status 3; all of it: {log})'
    assert go.events.errors['a'] == error
    assert log.read_text() == 'good\nbad\n'


def test_execute_changed_inputs_run_again_in_a_new_work_dir_and_keep_the_old_aside(go, tmp_path):
    work = tmp_path / 'work'
    step = Step('a', GOOD, work_dir=work, inputs='1')
    go(step)
    work.mkdir()
    (work / 'epoch_1.pth').touch()
    assert list(go(replace(step, inputs='2')).ran) == ['a']
    assert not work.exists()
    assert len(list((tmp_path / 'steps' / 'a').glob('outdated-*/0-work/epoch_1.pth'))) == 1


def test_execute_same_inputs_go_on_from_the_work_dir(go, tmp_path):
    step = Step('a', BAD, work_dir=tmp_path / 'work')
    go(step)
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'epoch_1.pth').touch()
    assert list(go(step).failed) == ['a']
    assert (tmp_path / 'work' / 'epoch_1.pth').exists()


@pytest.mark.parametrize(('gpus', 'workers'), [((), 2), (('4', '7'), 1)])
def test_execute_runs_no_more_at_a_time_than_there_is_room_for(go, tmp_path, gpus, workers):
    script = f'ls {tmp_path}/now | wc -l >> {tmp_path}/most; sleep 0.05; rm {tmp_path}/now/$$'
    script = f'mkdir -p {tmp_path}/now; touch {tmp_path}/now/$$; {script}'
    go(*(Step(name, (script,), gpus=1) for name in 'abcdef'), gpus=gpus, workers=workers)
    assert max(int(line) for line in (tmp_path / 'most').read_text().split()) <= 2


def test_execute_gives_each_gpu_to_one_step_at_a_time(go, tmp_path):
    script = f'for g in ${{CUDA_VISIBLE_DEVICES//,/ }}; do mkdir {tmp_path}/gpu$g || exit 1; done; '
    script += 'sleep 0.03; echo $CUDA_VISIBLE_DEVICES; '
    script += f'for g in ${{CUDA_VISIBLE_DEVICES//,/ }}; do rmdir {tmp_path}/gpu$g; done'
    steps = [Step(f's{i}', (script,), gpus=1 + i % 2) for i in range(8)]
    outcome = go(*steps, gpus=('0', '1', '5'))
    assert outcome.is_complete
    sizes = [len(log_of(tmp_path, s.name).strip().split(',')) for s in steps]
    assert sizes == [step.gpus for step in steps]


def test_execute_step_without_gpus_sees_none(go, tmp_path):
    go(Step('a', ('echo "<$CUDA_VISIBLE_DEVICES>"',)), gpus=('0',))
    assert log_of(tmp_path, 'a') == '<>\n'


def test_execute_step_that_takes_more_gpus_than_there_are_is_refused_before_any_starts(go):
    with pytest.raises(ConfigError, match='b takes 3 GPUs, but only 2 may be used'):
        go(Step('a', GOOD), Step('b', GOOD, gpus=3), gpus=('0', '1'))
    assert go.events.names == []


def test_execute_environment_reaches_the_step(go, tmp_path):
    go(Step('a', ('echo $OMP_NUM_THREADS $HOME',)), environment={'OMP_NUM_THREADS': '3'})
    assert log_of(tmp_path, 'a').startswith('3 /')


def test_execute_retries_until_it_works(go, tmp_path):
    script = f'echo try; echo >> {tmp_path}/tries; [ $(wc -l < {tmp_path}/tries) = 3 ]'
    outcome = go(Step('a', (script,)), retries=2)
    assert list(outcome.ran) == ['a']
    assert go.events.attempts == [1, 2, 3]
    assert len(go.events.retries) == 2


def test_execute_retries_no_more_than_asked_for(go, tmp_path):
    outcome = go(Step('a', (f'echo >> {tmp_path}/tries; exit 1',)), retries=2)
    assert list(outcome.failed) == ['a']
    assert (tmp_path / 'tries').read_text() == '\n' * 3


class NoTimeOnce(Patience):
    """Patience that ends when a file is there, however slow the machine is."""

    def __init__(self, path):
        super().__init__()
        object.__setattr__(self, 'path', path)

    def __getattribute__(self, name):
        if name == 'timeout_s':
            return 0.0 if self.path.exists() else None
        return super().__getattribute__(name)


def test_execute_attempt_that_takes_too_long_is_ended_with_all_it_started(go, guarded, tmp_path):
    script = f'sleep 60 & echo $! > {tmp_path}/pid; mv {tmp_path}/pid {tmp_path}/child; wait'
    began = time.monotonic()
    error = go(Step('a', (script,)), patience=NoTimeOnce(tmp_path / 'child')).failed['a']
    assert time.monotonic() - began < 55
    assert '(Out of time: ended after the 0 s that an attempt may take;' in error
    assert is_gone(int((tmp_path / 'child').read_text()))


def test_execute_run_that_was_killed_gets_a_record_and_one_that_wrote_its_own_does_not(
    go, tmp_path, monkeypatch
):
    own, killed = (tmp_path / 'results' / name / 'record.json' for name in ('own', 'killed'))
    words = []

    def command(step, given):
        words.append(given)
        return ['bash', '-c', given[1] if '--record-failure' not in given else 'true']

    monkeypatch.setattr(launching, 'command_of', command)
    go(
        Step('own', ('train', f'mkdir -p {own.parent}; touch {own}; exit 1'), records=(own,)),
        Step('killed', ('train', 'kill -9 $$'), records=(killed,)),
        retries=1,
    )
    asked = [given for given in words if '--record-failure' in given]
    assert [given[1] for given in asked] == ['kill -9 $$']
    assert 'Killed: ended by signal 9' in asked[0][-3]


@pytest.fixture
def runs(monkeypatch):
    """Steps are trainings whose command is their second word; what is asked for otherwise."""
    asked = []

    def command(step, words):
        if '--record-failure' in words:
            asked.append(words)
            return ['true']
        return ['bash', '-c', words[1]]

    monkeypatch.setattr(launching, 'command_of', command)
    return asked


def cause_asked_for(asked):
    ((*_, option, cause),) = asked
    assert option == '--failure-cause'
    return cause


@pytest.mark.parametrize('end', ['exit 75', 'kill -TERM $$', 'kill -USR1 $$'])
def test_execute_interrupted_run_starts_again_until_it_is_done(go, runs, tmp_path, end):
    work = tmp_path / 'work'
    script = f'mkdir -p {work}; echo >> {work}/interim.pth; [ $(wc -l < {work}/interim.pth) = 6 ]'
    outcome = go(Step('a', ('train', f'{script} || {end}'), work_dir=work))
    assert list(outcome.ran) == ['a']
    # No attempt failed, so none was counted.
    assert go.events.attempts == [1] * 6
    assert go.events.interruptions == [1, 2, 3, 4, 5]
    assert runs == []


def test_execute_run_that_saves_nothing_between_interruptions_is_preempted_for_good(
    go, runs, tmp_path
):
    step = Step('a', ('train', 'exit 75'), records=(tmp_path / 'results' / 'record.json',))
    error = go(step).failed['a']
    assert 'Preempted: 3 times, the last 3 of them without a new checkpoint' in error
    assert cause_asked_for(runs) == 'preempted'


def test_execute_no_run_starts_again_at_the_end_of_the_job(go, runs, monkeypatch):
    monkeypatch.setattr(module, 'seconds_of_job', lambda: 60.0)
    with pytest.raises(RunInterrupted, match='job of this suite is about to end'):
        go(Step('a', ('train', 'exit 75')))


@pytest.mark.parametrize(('script', 'cause'), [('kill -9 $$', 'killed'), ('exit 1', 'error')])
def test_execute_cause_of_a_failure_is_recorded(go, guarded, runs, tmp_path, script, cause):
    go(Step('a', ('train', script), records=(tmp_path / 'results' / 'record.json',)))
    assert cause_asked_for(runs) == cause


def test_execute_process_that_the_system_killed_for_memory_is_not_tried_again(
    go, runs, tmp_path, monkeypatch
):
    kills = iter(range(10))
    monkeypatch.setattr(module, 'memory_kills', lambda: next(kills))
    step = Step('a', ('train', 'kill -9 $$'), records=(tmp_path / 'results' / 'record.json',))
    error = go(step, retries=3).failed['a']
    assert 'Out of memory: ended by signal 9' in error
    assert (go.events.attempts, cause_asked_for(runs)) == ([1], 'out-of-memory')


def test_execute_want_of_memory_that_a_run_recorded_is_not_tried_again(go, runs, tmp_path):
    record = make_record(error='CUDA has no memory')
    path = write_record(replace(record, cause='out-of-memory'), tmp_path / 'mine')
    target = tmp_path / 'results' / 'record.json'
    script = f'mkdir -p {target.parent}; cp {path} {target}; exit 1'
    outcome = go(Step('a', ('train', script), records=(target,)), retries=3)
    assert (list(outcome.failed), go.events.attempts, runs) == (['a'], [1], [])


def test_execute_too_long_run_is_asked_to_save_and_recorded_as_out_of_time(
    go, guarded, runs, tmp_path
):
    script = f'trap "touch {tmp_path}/saved; exit 75" TERM; touch {tmp_path}/began; '
    script += 'while true; do sleep 0.1; done'
    step = Step('a', ('train', script), records=(tmp_path / 'results' / 'record.json',))
    go(step, patience=NoTimeOnce(tmp_path / 'began'))
    assert (tmp_path / 'saved').exists()
    assert cause_asked_for(runs) == 'timeout'


def test_execute_signal_to_the_suite_lets_its_runs_save(go, guarded, runs, tmp_path):
    def terminate(step):
        if step.name == 'b':
            for name in 'ab':
                wait_until(lambda name=name: (tmp_path / f'{name}-began').exists())
            os.kill(os.getpid(), signal.SIGTERM)

    def script(name):
        trap = f'trap "sleep 0.5; touch {tmp_path}/{name}-saved; exit 75" TERM'
        return f'{trap}; touch {tmp_path}/{name}-began; while true; do sleep 0.1; done'

    steps = [Step(name, ('train', script(name))) for name in 'ab']
    with pytest.raises(RunInterrupted, match='stopped by SIGTERM'):
        go(*steps, on_start=terminate)
    assert {p.name for p in tmp_path.glob('*-saved')} == {'a-saved', 'b-saved'}


def test_memory_kills_are_those_of_the_own_group(tmp_path):
    (tmp_path / 'job').mkdir()
    (tmp_path / 'memory.events').write_text('low 0\noom 5\noom_kill 3\n')
    (tmp_path / 'job' / 'memory.events').write_text('oom_kill 7\n')
    (tmp_path / 'own').write_text('0::/job\n')
    assert memory_kills(tmp_path, tmp_path / 'own') == 7
    assert memory_kills(tmp_path / 'absent', tmp_path / 'absent') == 0


def test_execute_step_that_another_process_runs_is_waited_for_and_taken(go, tmp_path):
    page = tmp_path / 'page'
    step = Step('a', (f'touch {page}',), files=(page,))
    go(step)
    (tmp_path / 'steps' / 'a' / 'fingerprint').unlink()
    lease = Lease(tmp_path / 'steps' / 'a' / 'lease')
    assert lease.take()

    def finish_the_other(started):
        if started.name == 'b':
            (tmp_path / 'steps' / 'a' / 'fingerprint').write_text(step.fingerprint)
            lease.end()

    child = Step('child', GOOD, needs=('a',))
    outcome = go(step, Step('b', GOOD), child, on_start=finish_the_other)
    assert (outcome.done, sorted(outcome.ran)) == (['a'], ['b', 'child'])
    assert go.events.waited == go.events.were_taken == ['a']


def test_execute_step_taken_by_another_suite_between_attempts_is_not_started_again(
    go, tmp_path, monkeypatch
):
    lose, claim = [], LocalLauncher.claim

    def remember(launcher, step, home, on_loss):
        lose.append(on_loss)
        return claim(launcher, step, home, on_loss)

    monkeypatch.setattr(LocalLauncher, 'claim', remember)
    monkeypatch.setattr(Events, 'retrying', lambda *_: lose[0]())
    outcome = go(Step('a', (f'echo started >> {tmp_path}/starts; exit 3',)), retries=1)
    assert (tmp_path / 'starts').read_text() == 'started\n'
    assert 'Another suite took this step' in outcome.failed['a']


def test_execute_step_that_another_process_gave_up_is_run(go, tmp_path):
    (tmp_path / 'steps' / 'a').mkdir(parents=True)
    lease = Lease(tmp_path / 'steps' / 'a' / 'lease')
    assert lease.take()
    outcome = go(Step('a', GOOD), Step('b', GOOD), on_start=lambda _: lease.end())
    assert sorted(outcome.ran) == ['a', 'b']


def test_execute_suites_on_one_folder_share_the_steps_and_run_none_twice(tmp_path):
    num_steps = 12
    command = [sys.executable, '-c', SUITE, str(tmp_path), str(num_steps)]
    suites = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    counts = [[int(n) for n in suite.communicate()[0].split()] for suite in suites]
    assert [suite.returncode for suite in suites] == [0, 0, 0]
    assert sum(ran for ran, _, _ in counts) == num_steps
    assert all(ran + done == num_steps and failed == 0 for ran, done, failed in counts)
    assert [(tmp_path / str(i)).read_text() for i in range(num_steps)] == [
        f'{i}\n' for i in range(num_steps)
    ]


def test_execute_killed_suite_leaves_no_process_and_no_lease(tmp_path):
    script = SUITE.replace('sleep 0.0{i % 5}', 'echo $$ >> {out}/pids; sleep 60')
    suite = subprocess.Popen([sys.executable, '-c', script, str(tmp_path), '2'])
    wait_until(lambda: len(pids_of(tmp_path)) == 2)
    suite.kill()
    suite.wait()
    for pid in pids_of(tmp_path):
        wait_until(lambda pid=pid: is_gone(pid))

    assert Lease(tmp_path / 'steps' / 's0' / 'lease').take()


def test_execute_plan_with_a_step_that_could_never_run_is_refused(go):
    with pytest.raises(ConfigError, match='needs nobody'):
        go(Step('a', GOOD, needs=('nobody',)))


def test_execute_interrupted_kills_what_runs(go, guarded, tmp_path):
    def interrupt(step):
        wait_until(lambda: pids_of(tmp_path))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(Step('a', (f'echo $$ > {tmp_path}/pids; sleep 60',)), on_start=interrupt)
    (pid,) = pids_of(tmp_path)
    assert is_gone(pid)


@pytest.mark.parametrize('kind', ['done', 'failed', 'damaged'])
def test_is_done_asks_the_record(tmp_path, kind):
    error = 'it failed' if kind == 'failed' else None
    path = write_record(make_record(error=error), tmp_path / 'results')
    if kind == 'damaged':
        path.write_text('{')
    step = Step('a', GOOD, records=(path,))
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'fingerprint').write_text(step.fingerprint)
    assert is_done(step, tmp_path) is (kind == 'done')


def pids_of(folder):
    file = folder / 'pids'
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def is_gone(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] == 'Z'
    except OSError:
        return True
