"""Uniform masking: exact counts, one patch a cell, balance, determinism."""

import numpy as np
import pytest

from mim_bench.errors import ConfigError
from mim_bench.masking.uniform import secondary_mask, uniform_mask


@pytest.mark.parametrize(('side', 'hidden'), [(16, 192), (14, 147), (4, 12)])
def test_uniform_mask_hides_three_patches_of_every_cell(side, hidden):
    mask = uniform_mask((side, side), np.random.default_rng(0))
    cells = mask.reshape(side // 2, 2, side // 2, 2).sum(axis=(1, 3))
    assert mask.dtype == bool
    assert (cells == 3).all()
    assert mask.sum() == hidden


@pytest.mark.parametrize(('side', 'mean', 'std'), [(16, 16.0, 2.44), (14, 12.25, 2.15)])
def test_uniform_mask_corners_are_balanced_as_published(side, mean, std):
    rng = np.random.default_rng(0)
    counts = [(~uniform_mask((side, side), rng)[::2, ::2]).sum() for _ in range(2000)]
    assert np.mean(counts) == pytest.approx(mean, abs=0.2)
    assert np.std(counts) == pytest.approx(std, abs=0.15)


def test_uniform_mask_odd_grid_raises():
    with pytest.raises(ConfigError, match='even, positive sides'):
        uniform_mask((7, 8), np.random.default_rng(0))


@pytest.mark.parametrize(('side', 'seen'), [(16, 48), (14, 36)])
def test_secondary_mask_leaves_the_published_number_visible(side, seen):
    rng = np.random.default_rng(0)
    mask = uniform_mask((side, side), rng)
    hidden = secondary_mask(mask, 0.25, rng)
    assert (~hidden).sum() == seen
    assert (hidden | ~mask).all()


def test_secondary_mask_ratio_of_one_raises():
    with pytest.raises(ConfigError, match=r'\[0, 1\)'):
        secondary_mask(np.zeros((2, 2), dtype=bool), 1.0, np.random.default_rng(0))
