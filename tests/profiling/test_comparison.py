"""Turns, ratios and errors of a comparison; one real process at the end."""

from pathlib import Path

import pytest

from mim_bench.errors import TrainingError
from mim_bench.profiling import comparison
from mim_bench.profiling.comparison import REFERENCE, Entry, Plan, Spread, compare
from mim_bench.profiling.training_step import StepSettings

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
TIMES = {'first.py': [1.0, 2.0, 4.0], 'second.py': [0.5, 4.0, 1.0]}


class FakeWorker:
    """Answers as a worker does, and writes down what it was asked."""

    log: list

    def __init__(self, name, job):
        self.name, self.job = name, job
        self.times = iter(TIMES.get(name, [1e9] * 9))
        self.log.append(('start', name))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.log.append(('close', self.name))

    def wait_until_ready(self):
        pass

    def ask(self, command):
        self.log.append((command, self.name))
        if command == 'repeat':
            time = next(self.times)
            return {'flop_per_s': time} if self.name == REFERENCE else {'step_s': time}
        return {
            'describe': {'num_parameters': 10, 'num_trainable': 9},
            'warm_up': {} if self.name == REFERENCE else {'peak_mem_bytes': 100, 'num_steps': 1},
            'count_flops': {'flops_forward': 1e7, 'flops_step': 3e7},
            'find_batch': {'largest_batch': 64},
        }[command]


@pytest.fixture
def log(monkeypatch):
    monkeypatch.setattr(FakeWorker, 'log', [], raising=False)
    monkeypatch.setattr(comparison, 'Worker', FakeWorker)
    return FakeWorker.log


def plan(**settings):
    entries = [Entry(name, name, {'model.size': (1, 2)}) for name in TIMES]
    return Plan(entries, StepSettings(), **{'batch_size': 8, 'repeats': 3, **settings})


def test_compare_workers_take_turns_in_alternating_order(log):
    compare(plan())
    turns = [name for command, name in log if command == 'repeat']
    there = [REFERENCE, 'first.py', 'second.py']
    assert turns == [*there, *reversed(there), *there]


def test_compare_warms_each_up_before_the_first_turn_and_counts_after_the_last(log):
    compare(plan())
    commands = [command for command, _ in log if command in ('warm_up', 'repeat', 'count_flops')]
    assert commands == ['warm_up'] * 3 + ['repeat'] * 9 + ['count_flops'] * 2
    assert [name for command, name in log if command == 'close'] == [
        'second.py',
        'first.py',
        REFERENCE,
    ]


def test_compare_gives_median_speed_and_ratios_within_turns(log):
    first, second = compare(plan()).profiles
    assert first.img_per_s.median == 4.0  # of 8, 4, 2
    assert second.img_per_s.median == 8.0  # of 16, 2, 8
    assert first.ratio == Spread(1.0, 1.0, 1.0)
    assert second.ratio.median == 2.0  # of 1 / 0.5, 2 / 4, 4 / 1


def test_compare_relates_the_operations_to_the_matrix_product(log):
    found = compare(plan())
    assert found.reference_flop_per_s.median == 1e9
    assert found.profiles[0].flop_per_s == 3e7 * 4
    assert found.profiles[0].share_of_reference == pytest.approx(0.12)


def test_compare_looks_for_the_batch_alone_and_first(log):
    found = compare(plan(finds_batch=True))
    assert [profile.largest_batch for profile in found.profiles] == [64, 64]
    alone = [('start', 'first.py'), ('find_batch', 'first.py'), ('close', 'first.py')]
    assert log[:3] == alone


def test_compare_result_is_plain_data_with_all_repeats(log):
    content = compare(plan()).to_dict()
    assert content['device'] == 'cpu'
    assert content['batch_size'] == 8
    assert content['profiles'][1]['step_s'] == TIMES['second.py']
    assert content['profiles'][1]['options'] == {'model.size': (1, 2)}
    assert content['profiles'][1]['largest_batch'] is None


@pytest.mark.parametrize(
    ('values', 'spread'), [([3.0], (3, 3, 3)), ([1.0, 2.0, 3.0, 4.0, 5.0], (3, 2, 4))]
)
def test_spread_is_median_and_quartiles(values, spread):
    found = Spread.of(values)
    assert (found.median, found.low, found.high) == spread


@pytest.mark.slow
def test_compare_real_processes_measure_a_toy():
    config = str(next(DEMO.glob('ummae_swin-toy*')))
    entries = [Entry('a', config), Entry('b', config, {'model.neck.depth': 2})]
    settings = StepSettings('cpu')
    found = compare(Plan(entries, settings, batch_size=2, threads=1, repeats=1, warmup=1))
    first, second = found.profiles
    assert second.num_parameters > first.num_parameters > 1e5
    assert second.flops_step > first.flops_step > 1e6
    assert first.peak_mem_bytes > 0
    assert 0 < first.share_of_reference < 1


@pytest.mark.slow
def test_compare_config_that_cannot_be_built_raises_its_message():
    config = str(next(DEMO.glob('ummae_swin-toy*')))
    entry = Entry('a', config, {'model.neck.breadth': 3})
    with pytest.raises(TrainingError, match=r"a: .*does not take the key 'breadth'"):
        compare(Plan([entry], StepSettings(), repeats=1))
