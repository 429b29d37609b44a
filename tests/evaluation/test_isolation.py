import random

import numpy as np
import torch
from torch import nn

from mim_bench.evaluation.isolation import evaluating, preserved_rng


def draws() -> tuple:
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_preserved_rng_draws_inside_leave_later_draws_the_same():
    with preserved_rng(3):
        undisturbed = draws()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    with preserved_rng():
        draws()
    assert draws() == undisturbed


def test_preserved_rng_same_seed_gives_same_draws_inside():
    with preserved_rng(5):
        first = draws()
    draws()
    with preserved_rng(5):
        assert draws() == first


def test_evaluating_frozen_module_keeps_its_mode():
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2))
    model[1].eval()
    with evaluating(model):
        assert not model[0].training
        assert not torch.is_grad_enabled()
    assert [model.training, model[0].training, model[1].training] == [True, True, False]
    assert torch.is_grad_enabled()
