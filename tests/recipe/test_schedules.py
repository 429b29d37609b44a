"""The schedule against its formula, epoch by epoch, with layer decay."""

import math

import pytest
import torch
from mmengine.optim import OptimWrapper

from mim_bench.errors import ConfigError
from mim_bench.registry import PARAM_SCHEDULERS


def rates(steps: int, **settings) -> list[list[float]]:
    """The rates of two groups, one at half the optimiser's rate, before each step."""
    groups = [{'params': [torch.nn.Parameter(torch.zeros(1))], 'lr': lr} for lr in (1.0, 0.5)]
    optimizer = OptimWrapper(torch.optim.SGD(groups, lr=1.0))
    scheduler = PARAM_SCHEDULERS.build(
        {'type': 'mim_bench.WarmupCosineLR', **settings},
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


def test_warmup_longer_than_the_training_is_refused():
    with pytest.raises(ConfigError, match='warmup_epochs 4 must be shorter than the training, 4'):
        rates(1, warmup_epochs=4, end=4)
