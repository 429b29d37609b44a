"""The schedules against their formulas, update by update, with layer decay."""

import math

import pytest
import torch
from mmengine.optim import OptimWrapper

from mim_bench.errors import ConfigError
from mim_bench.registry import PARAM_SCHEDULERS


def rates(steps: int, kind: str = 'WarmupCosineLR', **settings) -> list[list[float]]:
    """The rates of two groups, one at half the optimiser's rate, before each step."""
    groups = [{'params': [torch.nn.Parameter(torch.zeros(1))], 'lr': lr} for lr in (1.0, 0.5)]
    optimizer = OptimWrapper(torch.optim.SGD(groups, lr=1.0))
    scheduler = PARAM_SCHEDULERS.build(
        {'type': f'mim_bench.{kind}', **settings},
        default_args={'optimizer': optimizer, 'epoch_length': 5},
    )
    found = []
    for _ in range(steps):
        found.append([group['lr'] for group in optimizer.optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return found


def test_warmup_cosine_follows_its_formula_in_iterations():
    found = rates(20, warmup_epochs=2, end=4, min_lr=0.1, convert_to_iter_based=True)
    for step in range(10):
        assert found[step] == pytest.approx([step / 10, step / 20])
    for step in range(10, 20):
        share = 0.1 + 0.9 * (1 + math.cos(math.pi * (step - 10) / 10)) / 2
        assert found[step] == pytest.approx([share, share / 2])


def test_warmup_cosine_by_epoch_without_warmup_starts_at_the_full_rate():
    assert [first for first, _ in rates(3, warmup_epochs=0, end=2)] == pytest.approx([1, 0.5, 0.5])


def test_table_cosine_has_the_peak_twice():
    found = rates(20, 'TableCosineLR', warmup_epochs=1, end=4, convert_to_iter_based=True)
    assert [rate for rate, _ in found[:6]] == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])
    assert found[12] == pytest.approx([share := (1 + math.cos(math.pi * 7 / 15)) / 2, share / 2])


def test_timm_cosine_is_late_counts_from_the_start_and_has_one_floor_for_all_groups():
    settings = dict(warmup_epochs=2, end=4, warmup_lr=0.1, min_lr=0.1)
    found = rates(20, 'TimmCosineLR', **settings, convert_to_iter_based=True)
    assert found[0] == found[1] == pytest.approx([0.1, 0.1])
    assert found[6] == pytest.approx([0.1 + 0.9 / 2, 0.1 + 0.4 / 2])
    # Update 11 has value 10 of 20: half of the way down, not the peak.
    assert found[11] == pytest.approx([0.1 + 0.9 / 2, 0.1 + 0.4 / 2])
    assert found[10] == pytest.approx([0.1 + 0.9 * 0.9, 0.1 + 0.4 * 0.9])


def test_timm_multi_step_counts_milestones_from_the_start():
    settings = dict(warmup_epochs=1, end=4, warmup_lr=0.5, milestones=[2, 3], gamma=0.1)
    found = rates(20, 'TimmMultiStepLR', **settings, convert_to_iter_based=True)
    assert [rate for rate, _ in found[:7]] == pytest.approx([0.5, 0.5, 0.6, 0.7, 0.8, 0.9, 1])
    assert [rate for rate, _ in found[10:12]] == pytest.approx([1, 0.1])
    assert [rate for _, rate in found[15:17]] == pytest.approx([0.05, 0.005])


@pytest.mark.parametrize('kind', ['WarmupCosineLR', 'TimmMultiStepLR'])
def test_warmup_longer_than_the_training_is_refused(kind):
    settings = {'milestones': [2]} if kind == 'TimmMultiStepLR' else {}
    with pytest.raises(ConfigError, match='4 epochs, must be shorter than the training, 4 epochs'):
        rates(1, kind, warmup_epochs=4, end=4, **settings)


def test_schedule_that_begins_later_is_refused():
    with pytest.raises(ConfigError, match='begin is 2, and this schedule is one of the whole'):
        rates(1, warmup_epochs=1, begin=2, end=5)
