"""Random masking: exact counts, determinism, no preferred patch."""

import numpy as np
import pytest

from mim_bench.errors import ConfigError
from mim_bench.masking.random_patches import random_patch_mask


@pytest.mark.parametrize(
    ('grid', 'ratio', 'visible'),
    [((14, 14), 0.75, 49), ((14, 14), 0.6, 78), ((4, 6), 0.75, 6), ((3, 3), 0.0, 9)],
)
def test_random_patch_mask_keeps_the_floor_of_the_visible_share(grid, ratio, visible):
    mask = random_patch_mask(grid, ratio, np.random.default_rng(0))
    assert mask.dtype == bool
    assert mask.shape == grid
    assert (~mask).sum() == visible


def test_random_patch_mask_hides_every_patch_equally_often():
    rng = np.random.default_rng(0)
    share = np.mean([random_patch_mask((4, 4), 0.75, rng) for _ in range(4000)], axis=0)
    # Six standard deviations of a share of 4000 draws.
    assert np.abs(share - 0.75).max() < 6 * (0.75 * 0.25 / 4000) ** 0.5


@pytest.mark.parametrize('ratio', [1.0, -0.1, 0.99])
def test_random_patch_mask_without_visible_patches_raises(ratio):
    with pytest.raises(ConfigError, match='visible'):
        random_patch_mask((4, 4), ratio, np.random.default_rng(0))
