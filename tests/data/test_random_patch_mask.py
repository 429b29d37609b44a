"""The transform of random masking."""

import numpy as np
import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.registry import TRANSFORMS


def build(**kwargs):
    return TRANSFORMS.build(dict(type='mim_bench.RandomPatchMask', **kwargs))


@pytest.mark.parametrize(
    ('input_size', 'grid', 'hidden'), [(224, (14, 14), 147), ((32, 64), (2, 4), 6)]
)
def test_random_patch_mask_adds_a_mask_of_the_patch_grid(input_size, grid, hidden):
    mask = build(input_size=input_size)({})['mask']
    assert mask.dtype == torch.bool
    assert tuple(mask.shape) == grid
    assert mask.sum() == hidden


def test_random_patch_mask_follows_the_seed_of_the_sample():
    transform = build(input_size=64, patch_size=8)
    masks = []
    for seed in (3, 3, 4):
        np.random.seed(seed)
        masks.append(transform({})['mask'])
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_random_patch_mask_uneven_image_raises():
    with pytest.raises(ConfigError, match='not a multiple'):
        build(input_size=60)
