"""Random schedules of what clusters do to jobs: the results are those of an undisturbed suite."""

import random
import signal

import pytest

from mim_bench.results.collection import collect
from mim_bench.suite import launching
from mim_bench.suite.schedulers import SlurmScheduler
from mim_bench.testing.cluster_suites import UNITS, KilledSuite, World
from mim_bench.testing.forked_jobs import ForkedJob

pytest.importorskip('submitit')
pytestmark = pytest.mark.slow
NUM_SCHEDULES = 200
NAMES = 'abcdef'
# What happens to a job that runs; each leaves the step to be done.
FATES = ('announce', 'preempt', 'preempt-cancel', 'timeout', 'node-fail', 'node-requeue', 'oom',
         'cancel', 'fail')  # fmt: skip


class Weather:
    """Draws what happens, and does it as the suite sleeps."""

    def __init__(self, seed, world):
        self.random, self.world = random.Random(seed), world
        self.happened, self.is_over = [], False
        for name in NAMES:
            self.brew(name)

    def brew(self, name):
        """Decide whether the next job of a step gets through."""
        home = self.world.home(name)
        home.mkdir(parents=True, exist_ok=True)
        if self.random.random() < 0.35:
            (home / 'stop').write_text(str(self.random.randrange(UNITS)))

    def __call__(self):
        world, slurm = self.world, self.world.slurm
        if self.random.random() < 0.05:
            slurm.fault(self.random.choice(('sbatch', 'squeue', 'sacct')), 1)
        if self.random.random() < 0.02:
            slurm.fault('sbatch', -1)
        for id_ in list(slurm.running):
            name = world.step_of(id_)
            if name and (world.home(name) / 'waiting').exists():
                self.strike(id_, name)
        if self.random.random() < 0.04:
            self.happened.append('suite killed')
            raise KilledSuite

    def strike(self, id_, name):
        fate = self.random.choice(FATES)
        self.happened.append(f'{name} {fate}')
        slurm = self.world.slurm
        if fate == 'announce':
            slurm.announce_end(id_)
        elif fate == 'preempt':
            slurm.end(id_, 'PREEMPTED', signal.SIGTERM, requeue=True)
        elif fate == 'preempt-cancel':
            slurm.end(id_, 'PREEMPTED', signal.SIGTERM)
        elif fate == 'timeout':
            slurm.end(id_, 'TIMEOUT')
        elif fate == 'node-fail':
            slurm.end(id_, 'NODE_FAIL')
        elif fate == 'node-requeue':
            slurm.end(id_, 'NODE_FAIL', requeue=True)
        elif fate == 'oom':
            slurm.end(id_, 'OUT_OF_MEMORY')
        elif fate == 'cancel':
            slurm.end(id_, 'CANCELLED by 0', signal.SIGTERM)
        else:
            slurm.end(id_, 'FAILED')
        self.world.let_go(name)
        self.brew(name)


class DeadlyScheduler(SlurmScheduler):
    """The suite may be killed before it knows the ids of its jobs."""

    def submit(self, jobs, after):
        ids = super().submit(jobs, after)
        if not self.weather.is_over and self.weather.random.random() < 0.05:
            self.weather.happened.append(f'killed as it submitted {ids}')
            raise KilledSuite
        return ids


@pytest.fixture
def command(monkeypatch):
    def of(step, words, *_):
        return ['true'] if '--record-failure' in words else ['bash', '-c', words[1]]

    monkeypatch.setattr(launching, 'command_of', of)
    monkeypatch.setattr(launching, 'GUARD', ())


def plan_of(world):
    return [
        world.step('a'),
        world.step('b'),
        world.step('c', 'a'),
        world.step('d', 'a', 'b'),
        world.step('e', 'c'),
        world.step('f', memory_gb=8.0),
    ]


def go(seed, folder, monkeypatch):
    """One schedule: suites that follow or leave, killed at times, until all steps are done."""
    world = World(folder, ForkedJob, slots=1 + seed % 4)
    for name, value in world.slurm.environment().items():
        monkeypatch.setenv(name, value)
    plan, weather = plan_of(world), Weather(seed, world)
    world.on_sleep = weather
    scheduler = DeadlyScheduler(world.out / 'slurm')
    scheduler.weather = weather
    for attempt in range(60):
        is_last = attempt > 40
        if is_last:  # peace, for the rest to end
            weather.is_over, world.on_sleep = True, lambda: None
            for name in NAMES:
                world.let_go(name)
        try:
            if weather.random.random() < 0.3:
                launcher = world.open(plan, scheduler)
                launcher.detach(plan)
                launcher.close()
                for _ in range(weather.random.randrange(6)):
                    world.sleep(30)
            elif world.run(plan, weather.random.randrange(3), scheduler).is_complete:
                break
        except KilledSuite:
            world.bury()
    else:
        pytest.fail(f'not done after {attempt} suites: {weather.happened}')
    return world, plan, weather.happened


def check(world, plan):
    records = {record.run_id: record for record in collect(world.out / 'results').records}
    assert set(records) == set(NAMES)
    for step in plan:
        home = world.home(step.name)
        assert records[step.name].status == 'done'
        assert not (home / 'double').exists(), f'{step.name} ran twice at a time'
        assert (home / 'finished').read_text() == 'done\n', f'{step.name} was repeated'
        spent = len((home / 'ledger').read_text().split())
        assert records[step.name].cost.wall_s == spent >= UNITS


@pytest.mark.parametrize('seed', range(NUM_SCHEDULES))
def test_cluster_random_schedule_loses_and_doubles_nothing(seed, tmp_path, monkeypatch, command):
    world, plan, happened = go(seed, tmp_path, monkeypatch)
    try:
        check(world, plan)
    except AssertionError as error:
        raise AssertionError(f'{error}\n{happened}') from error
    finally:
        world.slurm.close()
