"""Suites on a cluster: real submitit and the commands of a fake Slurm, in virtual time."""

import signal
from dataclasses import replace

import pytest

from mim_bench.errors import ConfigError
from mim_bench.results.store import read_record
from mim_bench.suite import cluster, launching
from mim_bench.suite.cluster import BACKOFF_S
from mim_bench.testing.cluster_suites import UNITS, World
from mim_bench.testing.forked_jobs import ForkedJob

pytest.importorskip('submitit')


@pytest.fixture
def world(tmp_path, monkeypatch):
    asked = []

    def command(step, words, *_):
        asked.append(words)
        return ['true'] if '--record-failure' in words else ['bash', '-c', words[1]]

    monkeypatch.setattr(launching, 'command_of', command)
    monkeypatch.setattr(launching, 'GUARD', ())
    world = World(tmp_path, ForkedJob)
    for name, value in world.slurm.environment().items():
        monkeypatch.setenv(name, value)
    world.local_words = asked
    yield world
    world.slurm.close()


def job_file(world, id_):
    return open(world.slurm.jobs()[id_]['script']).read()


def ends(world):
    return [job['state'] for job in world.slurm.jobs().values()]


def test_cluster_runs_each_step_once_and_after_what_it_needs(world):
    a, b = world.step('a'), world.step('b', 'a', gpus=0)
    outcome = world.run([a, b])
    assert (list(outcome.ran), ends(world)) == (['a', 'b'], ['COMPLETED'])
    assert read_record(a.records[0]).cost.wall_s == UNITS
    assert world.run([a, b]).done == ['a', 'b']


def test_cluster_job_file_is_as_slurm_gets_it(world):
    step = world.step(
        'a', gpus=4, nodes=2, cpus_per_gpu=6, memory_gb=100.5, partition='gpu', account='me',
        constraint='a100|h100', setup=('module load cuda',), options={'gres': 'nvme:1'},
    )  # fmt: skip
    world.run([step])
    text = job_file(world, '100')
    for line in (
        'nodes=2', 'ntasks-per-node=1', 'gpus-per-node=4', 'cpus-per-task=24', 'mem=102912M',
        'time=60', 'partition=gpu', 'account=me', "constraint='a100|h100'", 'gres=nvme:1',
        'signal=USR2@180', 'requeue', 'job-name=a',
    ):  # fmt: skip
        assert f'#SBATCH --{line}\n' in text, line
    assert 'module load cuda\n' in text
    assert '--kill-on-bad-exit=1' in text


def test_cluster_alike_steps_are_one_array(world):
    plan = [world.step(f's{i}') for i in range(3)] + [world.step('other', memory_gb=8.0)]
    assert world.run(plan).is_complete
    assert list(world.slurm.jobs()) == ['100_0', '100_1', '100_2', '101']
    assert '#SBATCH --array=0-2%3\n' in job_file(world, '100_0')


def test_cluster_failing_submission_backs_off_and_fails_its_step_only(world):
    world.slurm.limits = {}
    with world.slurm.state() as state:
        state['limits'] = {'nodes': 1}
    plan = [world.step('a'), world.step('big', nodes=2), world.step('child', 'big', gpus=0)]
    began = world.now
    outcome = world.run(plan)
    assert (list(outcome.ran), list(outcome.failed)) == (['a'], ['big'])
    assert 'not submitted: sbatch: error: nodes=2 is more' in outcome.failed['big']
    assert outcome.skipped == ['child']
    assert world.now - began > sum(BACKOFF_S)


def test_cluster_submission_that_fails_for_a_while_is_repeated(world):
    world.slurm.fault('sbatch', 3)
    assert world.run([world.step('a')]).is_complete


def test_cluster_job_that_slurm_took_although_sbatch_failed_does_not_run_twice(world):
    world.slurm.fault('sbatch', -1)
    assert world.run([world.step('a')]).is_complete
    assert (world.home('a') / 'finished').read_text() == 'done\n'


def test_cluster_asks_the_scheduler_for_all_jobs_at_once_and_rarely(world):
    world.run([world.step(f's{i}') for i in range(8)])
    with world.slurm.state() as state:
        asked = state['calls'].count('squeue')
    assert asked <= 1 + (world.now - 1000) / cluster.ASK_S


def at_wait(world, name, act):
    """Do something to the job of a step once it waits."""
    world.home(name).mkdir(parents=True, exist_ok=True)
    (world.home(name) / 'stop').write_text('3')

    def look():
        if (world.home(name) / 'waiting').exists():
            (id_,) = [i for i in world.slurm.running if world.step_of(i) == name]
            act(id_)
            world.let_go(name)

    world.on_sleep = look


def units(world, name):
    return len((world.home(name) / 'ledger').read_text().split())


def test_cluster_end_of_the_time_saves_and_is_queued_again_by_the_job(world):
    step = world.step('a')
    at_wait(world, 'a', world.slurm.announce_end)
    assert world.run([step]).is_complete
    (job,) = world.slurm.jobs().values()
    assert (job['restarts'], units(world, 'a')) == (1, UNITS)  # nothing is lost


def test_cluster_preempted_job_is_queued_again_by_slurm(world):
    at_wait(world, 'a', lambda id_: world.slurm.end(id_, 'PREEMPTED', signal.SIGTERM, requeue=True))
    assert world.run([world.step('a')]).is_complete
    assert units(world, 'a') == UNITS


@pytest.mark.parametrize('state', ['NODE_FAIL', 'PREEMPTED', 'TIMEOUT'])
def test_cluster_job_that_the_cluster_ended_is_submitted_again(world, state):
    at_wait(world, 'a', lambda id_: world.slurm.end(id_, state))
    assert world.run([world.step('a')]).is_complete
    assert list(world.slurm.jobs()) == ['100', '101']
    assert units(world, 'a') == UNITS + 1  # the third was not saved


@pytest.mark.parametrize(
    ('state', 'cause'), [('OUT_OF_MEMORY', 'out-of-memory'), ('CANCELLED by 0', 'user')]
)
def test_cluster_other_ends_are_recorded_with_their_cause(world, state, cause):
    at_wait(world, 'a', lambda id_: world.slurm.end(id_, state))
    assert list(world.run([world.step('a')], retries=3).failed) == ['a']
    assert world.local_words[-1][-1] == cause


def test_cluster_own_failure_is_retried(world):
    step = world.step('a')
    (world.home('a') / 'fail').touch()
    assert world.run([step], retries=1).is_complete


def test_cluster_deaf_scheduler_ends_nothing(world):
    world.slurm.fault('squeue', 5)
    world.slurm.fault('sacct', 5)
    assert world.run([world.step('a')]).is_complete


def test_cluster_jobs_that_the_controller_forgot_are_asked_of_sacct(world):
    def purge():
        with world.slurm.state() as state:
            for job in state['jobs'].values():
                job['purged'] = job['state'] == 'COMPLETED'

    world.on_sleep = purge
    assert world.run([world.step('a')]).is_complete


def test_cluster_interrupt_cancels_all_jobs_in_one_call(world):
    plan = [world.step('a'), world.step('b')]
    for name in 'ab':
        (world.home(name) / 'stop').write_text('3')

    def interrupt():
        if all((world.home(name) / 'waiting').exists() for name in 'ab'):
            raise KeyboardInterrupt

    world.on_sleep = interrupt
    with pytest.raises(KeyboardInterrupt):
        world.run(plan)
    world.slurm.tick()
    assert ends(world) == ['CANCELLED by 0'] * 2
    with world.slurm.state() as state:
        assert state['calls'].count('scancel') == 1
    # They saved.
    assert (world.home('a') / 'work' / 'saved.pth').read_text() == '3\n'


def test_cluster_suite_that_ends_leaves_its_jobs_and_the_next_one_follows_them(world):
    step = world.step('a')
    (world.home('a') / 'stop').write_text('3')

    def end():
        if (world.home('a') / 'waiting').exists():
            raise RuntimeError('an error of the suite')

    world.on_sleep = end
    with pytest.raises(RuntimeError):
        world.run([step])
    at_wait(world, 'a', world.slurm.announce_end)
    assert world.run([step]).is_complete
    assert list(world.slurm.jobs()) == ['100']


def test_cluster_detached_plan_runs_in_its_order_without_the_suite(world):
    plan = [world.step('a'), world.step('b', 'a', gpus=0), world.step('c', 'b'), world.step('x')]
    launcher = world.open(plan)
    result = launcher.detach(plan)
    launcher.close()
    assert result.submitted == {'a': '100_0', 'x': '100_1', 'b': '101', 'c': '102'}
    assert '#SBATCH --dependency=afterok:101\n' in job_file(world, '102')
    assert set(ends(world)) == {'PENDING'}
    for _ in range(8):
        world.sleep(60)
    assert set(ends(world)) == {'COMPLETED'}
    assert world.run(plan).done == ['a', 'b', 'c', 'x']


def test_cluster_detached_again_submits_what_is_missing_only(world):
    plan = [world.step('a'), world.step('b', 'a'), world.step('x')]
    (world.home('a') / 'fail').touch()
    for expected in ({'a', 'b', 'x'}, {'a', 'b'}, set()):
        launcher = world.open(plan)
        assert set(launcher.detach(plan).submitted) == expected
        assert not launcher.detach(plan).submitted  # they are in the queue
        launcher.close()
        for _ in range(6):
            world.sleep(60)
    assert world.run(plan).done == ['a', 'b', 'x']


def test_cluster_job_with_other_inputs_is_cancelled_before_its_folder_is_moved(world):
    step = world.step('a')
    (world.home('a') / 'stop').write_text('3')
    launcher = world.open([step])
    launcher.detach([step])
    launcher.close()
    world.sleep(1)
    seen = []

    def look():
        seen.append((step.work_dir.exists(), ends(world)[0]))
        if ends(world)[0].startswith('CANCELLED'):
            world.let_go('a')

    world.on_sleep = look
    other = replace(step, inputs='other')
    assert world.run([other]).is_complete
    # As long as the job ran its folder was in its place.
    assert all(is_there for is_there, state in seen if state == 'RUNNING')
    assert list((world.out / 'steps' / 'a').glob('outdated-*/*-work/saved.pth'))


def test_cluster_second_manager_is_refused(world):
    launcher = world.open([world.step('a')])
    with pytest.raises(ConfigError, match='Another `mim-bench run` submits'):
        world.open([world.step('a')])
    launcher.close()
