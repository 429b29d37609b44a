import json
import os
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from mim_bench.cli._trial_table import print_estimates
from mim_bench.profiling.trial import Trial
from mim_bench.suite import dry_run as module
from mim_bench.suite.dry_run import DataCheck, Estimate, try_plan
from mim_bench.suite.resources import Resources
from mim_bench.suite.steps import Step
from mim_bench.testing.commands import ThisProcess

DATA = DataCheck('in1k', 'data', {'train images': 1000, 'val images': 200})
TRIAL = Trial('cpu', load_share=1.0, memory_bytes=1, step_s=3.6, images_per_step=50)
RUN = Step('a', ('train', 'c.py'), trial_words=('train', 'c.py'), dataset=('in1k', 'data'))


def estimate(**trial):
    return Estimate(RUN, DATA, replace(TRIAL, **trial))


@pytest.mark.parametrize(
    ('trial', 'hours'),
    [
        ({'num_steps': 2000}, 2.0),
        ({'epochs': 10}, 0.2),  # 10 x 1000 images / 50 = 200 steps of a thousandth of an hour
        ({'epochs': 10, 'image_share': 0.1}, 0.02),
        ({}, 0.024),  # a test: each of the 1200 images once
    ],
)
def test_hours_are_the_steps_times_the_measured_one(trial, hours):
    assert estimate(**trial).hours == pytest.approx(hours)


def test_hours_without_the_data_are_those_of_the_published_set():
    missing = DataCheck('in1k', 'x', problems=('x is not a folder',))
    found = Estimate(RUN, missing, replace(TRIAL, epochs=1))
    assert found.hours == pytest.approx(1_281_167 / 50 / 1000)
    assert not found.can_start


def test_gpu_hours_are_those_of_all_processes():
    several = replace(RUN, gpus=4, resources=Resources(nodes=2))
    found = Estimate(several, DATA, replace(TRIAL, num_steps=2000))
    assert (found.hours, found.gpu_hours) == (pytest.approx(2), pytest.approx(16))


def test_hours_without_known_images_are_unknown():
    assert Estimate(RUN, DataCheck('mine', 'x'), replace(TRIAL, epochs=1)).hours is None
    assert Estimate(RUN, DATA, error='no').hours is None


def test_limit_that_no_update_can_be_saved_in_is_a_reason():
    assert Estimate(RUN, DATA, TRIAL, limit_s=3600).can_start
    (reason,) = Estimate(RUN, DATA, replace(TRIAL, step_s=100.0), limit_s=300).reasons
    assert reason.startswith('An attempt may take 300 s (--timeout-hours), but to start, to make')
    assert 'about 380 s' in reason


def test_reasons_name_wrong_data_errors_and_an_epoch_without_a_step():
    assert estimate(epochs=1).can_start
    assert not Estimate(RUN, DataCheck('in1k', 'x', problems=('gone',)), TRIAL).can_start
    assert Estimate(RUN, DATA, error='it broke').reasons == ['it broke']
    (reason,) = estimate(epochs=1, fewest_images=2048).reasons
    assert reason.startswith('An epoch has 1000 images, but an update needs 2048')


class Calls(list):
    """Words and WORLD_SIZE of each call of ``main``."""


@pytest.fixture
def commands(monkeypatch):
    """The calls of a ``mim-bench`` whose data check finds nothing, and every second trial fails."""
    calls = Calls()

    def main(words):
        calls.append((words, os.environ.get('WORLD_SIZE')))
        if words[0] == 'data':
            report = {'counts': {'train images': 4, 'val images': 2}, 'problems': []}
            path = words[words.index('--json') + 1]
        else:
            report, path = TRIAL.to_dict(), words[words.index('--dry-run') + 1]
        trials = [w for w, _ in calls if w[0] != 'data']
        if words[0] != 'data' and len(trials) % 2 == 0:
            print('a warning\nerror: x.py: there is no such class.\nCorrect it.', file=sys.stderr)
            return 1
        with open(path, 'w') as file:
            json.dump(report, file)
        return 0

    monkeypatch.setenv('WORLD_SIZE', '1')  # restores it
    monkeypatch.setattr(module, 'OwnProcess', ThisProcess)
    calls.main = main
    return calls


def test_try_plan_checks_each_data_set_once_and_goes_on_after_an_error(commands):
    runs = [replace(RUN, trial_words=('train', f'{name}.py')) for name in 'abc']
    plan = [Step('data', ('data',)), *runs]
    estimates = try_plan(plan, commands.main, {})
    assert [e.error for e in estimates] == [
        None,
        'x.py: there is no such class.\nCorrect it.',
        None,
    ]
    assert [words[0] for words, _ in commands] == ['data', 'train', 'train', 'train']


def test_try_plan_seeds_share_a_trial(commands):
    runs = [
        replace(RUN, trial_words=('train', 'c.py', '--seed', seed, '--run-id', f'a-{seed}'))
        for seed in '012'
    ]
    estimates = try_plan(runs, commands.main, {})
    assert [e.trial is not None for e in estimates] == [True] * 3
    assert [words[0] for words, _ in commands] == ['data', 'train']


def test_try_plan_run_of_several_gpus_plans_its_batch_as_one_of_them(commands):
    several = Step('a', RUN.words, trial_words=RUN.words, dataset=RUN.dataset, gpus=8)
    try_plan([several], commands.main, {})
    words, world_size = commands[1]
    assert words[-2:] == ['--launcher', 'pytorch']
    assert world_size == '8'


def test_try_plan_hands_on_what_gpus_are_assumed_to_compute(commands):
    try_plan([RUN], commands.main, {}, assumed_tflops=120.0)
    assert commands[1][0][-2:] == ['--assume-tflops', '120.0']


def test_table_says_which_rows_are_estimated(capsys):
    flops = {'assumed_tflops': 100.0, 'flops_step': 105e9}
    rows = [estimate(num_steps=10), estimate(num_steps=10, **flops)]
    print_estimates(rows, Console(width=200))
    printed = capsys.readouterr().out
    measured, estimated = (line for line in printed.splitlines() if line.startswith('│ a '))
    assert ' cpu ' in measured
    assert ' estimate ' in estimated
    assert ' 105 ' in estimated
    assert 'at 100 TFLOP/s a GPU, which is an assumption' in ' '.join(printed.split())


def test_runs_that_one_reason_stops_are_named_together(capsys):
    missing = DataCheck('in1k', 'x', problems=('x is not a folder',))
    trial = replace(TRIAL, missing='x is not a folder')
    rows = [Estimate(replace(RUN, name=name), missing, trial) for name in 'abc']
    print_estimates([*rows, estimate()], Console(width=200))
    printed = capsys.readouterr().out
    assert printed.count('x is not a folder') == 1
    assert 'a, b, c cannot start:' in printed
    assert [printed.count(f' {state} ') for state in ('missing', 'ok')] == [3, 1]


def test_try_plan_stuff_maps_are_checked_where_they_are_learned_from(commands):
    step = Step('a', RUN.words, trial_words=RUN.words, dataset=('coco', 'x'), need_stuff=True)
    try_plan([step], commands.main, {})
    assert commands[0][0][:4] == ['data', 'check', 'coco', 'x']
    assert '--need-stuff' in commands[0][0]
