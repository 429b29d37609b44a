"""Unit masks: exact counts, LocalMIM's off-by-one, refusals."""

import numpy as np
import pytest

from mim_bench.errors import ConfigError
from mim_bench.masking.units import unit_mask


@pytest.mark.parametrize(
    ('grid', 'ratio', 'num_hidden'), [((7, 7), 0.75, 37), ((4, 4), 0.6, 10), ((2, 3), 0.0, 1)]
)
def test_unit_mask_hides_one_more_than_the_rounded_share(grid, ratio, num_hidden):
    mask = unit_mask(grid, ratio, np.random.default_rng(0))
    assert mask.shape == grid
    assert mask.dtype == bool
    assert mask.sum() == num_hidden


def test_unit_mask_hides_every_unit_equally_often():
    rng = np.random.default_rng(0)
    share = np.mean([unit_mask((7, 7), 0.75, rng) for _ in range(4000)], axis=0)
    # The deviation of a mean of 4000 such draws is 0.0068.
    assert np.abs(share - 37 / 49).max() < 5 * 0.0068


def test_unit_mask_with_nothing_visible_raises():
    with pytest.raises(ConfigError, match='hides 4 of 4 units'):
        unit_mask((2, 2), 0.75, np.random.default_rng(0))


@pytest.mark.parametrize('ratio', [-0.1, 1.0])
def test_unit_mask_ratio_outside_its_range_raises(ratio):
    with pytest.raises(ConfigError, match=r'must lie in \[0, 1\)'):
        unit_mask((7, 7), ratio, np.random.default_rng(0))
