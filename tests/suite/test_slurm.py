"""Jobs through submitit, without a cluster: its local and debug executors run them here."""

import json
import os
import pickle
import signal
import sys
import threading
import time
from dataclasses import replace

import pytest

from mim_bench.errors import ConfigError
from mim_bench.suite import execute as module
from mim_bench.suite import slurm
from mim_bench.suite.endings import cause_of_state
from mim_bench.suite.execute import Listener, Patience, execute
from mim_bench.suite.launching import LocalLauncher
from mim_bench.suite.slurm import JobSettings, SlurmLauncher
from mim_bench.suite.steps import Step

submitit = pytest.importorskip('submitit')
# `mim-bench doctor --help`: a real command that ends well, and one that does not.
GOOD, BAD = ('doctor', '--help'), ('report', 'nowhere', '--out', 'never')


@pytest.fixture
def go(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'POLL_SECONDS', 0.05)

    def run(*plan, cluster, retries=0):
        folder = tmp_path / 'steps'
        launcher = SlurmLauncher(folder, LocalLauncher(workers=1), cluster)
        patience = Patience(retries)
        return execute(plan, folder, launcher=launcher, listener=Listener(), patience=patience)

    return run


def test_slurm_runs_what_uses_gpus_as_jobs_and_the_rest_here(go, tmp_path):
    cluster = 'submitit-local'
    outcome = go(Step('a', GOOD, gpus=1), Step('b', GOOD, needs=('a',)), cluster=cluster)
    assert list(outcome.ran) == ['a', 'b']
    assert 'usage: mim-bench doctor' in (tmp_path / 'steps' / 'a' / 'log.txt').read_text()
    assert (tmp_path / 'steps' / 'a' / 'slurm').is_dir()
    assert not (tmp_path / 'steps' / 'b' / 'slurm').exists()
    assert go(Step('a', GOOD, gpus=1), cluster=cluster).done == ['a']


def test_slurm_job_that_fails_is_retried_and_told(go):
    outcome = go(Step('a', BAD, gpus=1), cluster='submitit-debug', retries=1)
    assert 'no such folder of results' in outcome.failed['a']
    assert '(exit status 1;' in outcome.failed['a']


def test_slurm_job_asks_for_what_the_step_takes(tmp_path, monkeypatch):
    asked = {}

    class Executor:
        def __init__(self, folder, cluster):
            asked.update(folder=folder, cluster=cluster)

        def update_parameters(self, **parameters):
            asked.update(parameters)

        def submit(self, job):
            asked['job'] = job
            return type('Submitted', (), {'job_id': '17'})()

    monkeypatch.setattr(submitit, 'AutoExecutor', Executor)
    settings = JobSettings('gpu', 1.5, 4, {'slurm_account': 'me'})
    launcher = SlurmLauncher(tmp_path, LocalLauncher(), 'slurm', settings)
    step = Step('a', ('train', 'c.py'), gpus=8)
    (tmp_path / 'a').mkdir()
    launcher.start(step, step.words, tmp_path / 'a' / 'log.txt', 0)
    job = asked.pop('job')
    assert asked == {
        'folder': tmp_path / 'a' / 'slurm',
        'cluster': 'slurm',
        'name': 'a',
        'timeout_min': 90,
        'nodes': 1,
        'tasks_per_node': 1,
        'cpus_per_task': 32,
        'gpus_per_node': 8,
        'slurm_partition': 'gpu',
        'slurm_account': 'me',
    }
    # A job that Slurm takes its machine from is submitted again as it is.
    assert isinstance(job.checkpoint(), submitit.helpers.DelayedSubmission)
    note = json.loads((tmp_path / 'a' / 'slurm_job.json').read_text())
    assert note == {'job_id': '17', 'fingerprint': step.fingerprint}


@pytest.mark.parametrize(('is_over', 'fingerprint', 'submits'), [
    (False, 'same', False), (False, 'other', True), (True, 'same', True),
])  # fmt: skip
def test_slurm_job_that_an_earlier_suite_left_is_waited_for(
    tmp_path, monkeypatch, is_over, fingerprint, submits
):
    cancelled, submitted = [], []

    class Job:
        def __init__(self, folder, job_id):
            self.job_id = job_id

        def done(self, force_check=False):
            return is_over

        def cancel(self):
            cancelled.append(self.job_id)

    monkeypatch.setattr(submitit, 'SlurmJob', Job)
    launcher = SlurmLauncher(tmp_path, LocalLauncher(), 'slurm')
    monkeypatch.setattr(launcher, '_submit', lambda *args: submitted.append(args))
    home = tmp_path / 'a'
    home.mkdir()
    (home / 'slurm_job.json').write_text(json.dumps({'job_id': '17', 'fingerprint': fingerprint}))
    (home / 'started').write_text('same')
    launcher.start(Step('a', GOOD, gpus=1), GOOD, home / 'log.txt', 0)
    assert bool(submitted) == submits
    assert cancelled == (['17'] if submits and not is_over else [])


def test_slurm_job_of_a_step_that_was_done_meanwhile_does_nothing(tmp_path, monkeypatch):
    step = Step('a', GOOD, gpus=1)
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'fingerprint').write_text(step.fingerprint)
    monkeypatch.setattr(slurm.subprocess, 'Popen', lambda *a, **k: pytest.fail('it ran'))
    assert slurm.SlurmJob(step, tmp_path, GOOD, tmp_path / 'a' / 'log.txt')() == 0


def job_that_runs(script, folder, monkeypatch, name='a'):
    monkeypatch.setattr(slurm, 'command_of', lambda step, words: ['bash', '-c', words[0]])
    (folder / name).mkdir(parents=True)
    step = Step(name, (script,), gpus=2)
    return slurm.SlurmJob(step, folder, step.words, folder / name / 'log.txt')


def test_slurm_job_ends_as_its_command(tmp_path, monkeypatch):
    assert job_that_runs('exit 75', tmp_path, monkeypatch)() == 75
    assert job_that_runs('kill -9 $$', tmp_path, monkeypatch, 'b')() == -9


@pytest.mark.parametrize('number', [signal.SIGUSR2, signal.SIGTERM])
def test_slurm_job_that_is_announced_its_end_lets_its_command_save(tmp_path, monkeypatch, number):
    """submitit asks a job for its checkpoint in the handler of SIGUSR2; SIGTERM cancels it."""
    script = f'trap "sleep 0.3; touch {tmp_path}/saved; exit 75" TERM; touch {tmp_path}/began; '
    job = job_that_runs(f'{script} while true; do sleep 0.1; done', tmp_path, monkeypatch)
    found = []
    before = signal.signal(signal.SIGUSR2, lambda *_: found.append(job.checkpoint()))

    def announce():
        while not (tmp_path / 'began').exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=announce)
    thread.start()
    try:
        assert job() in (75, -signal.SIGTERM)
    finally:
        signal.signal(signal.SIGUSR2, before)
    thread.join()
    assert (tmp_path / 'saved').exists()
    # What is submitted again can be stored, unlike a process that runs.
    for delayed in found:
        assert pickle.dumps(delayed)
        assert delayed.function == replace(job)


@pytest.mark.parametrize(('state', 'cause'), [
    ('TIMEOUT', 'timeout'), ('OUT_OF_MEMORY', 'out-of-memory'), ('NODE_FAIL', 'node-failure'),
    ('PREEMPTED', 'preempted'), ('CANCELLED by 1000', 'user'), ('FAILED', None), ('', None),
])  # fmt: skip
def test_state_of_slurm_tells_the_cause(state, cause):
    assert cause_of_state(state) == cause


def test_slurm_without_submitit_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'submitit', None)
    with pytest.raises(ConfigError, match=r'pip install .*mim-bench\[slurm\]'):
        SlurmLauncher(tmp_path, LocalLauncher())
