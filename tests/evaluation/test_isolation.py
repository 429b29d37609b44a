import random

import numpy as np
import torch

from mim_bench.evaluation.isolation import preserved_rng


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
