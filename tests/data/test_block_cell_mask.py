"""The transform of masking in cells."""

import numpy as np
import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.registry import TRANSFORMS


def build(**kwargs):
    return TRANSFORMS.build(dict(type='mim_bench.BlockCellMask', **kwargs))


def test_block_cell_mask_transform_has_the_sizes_of_conmim():
    mask = build(input_size=224)({})['mask']
    assert mask.dtype == torch.bool
    assert tuple(mask.shape) == (14, 14)
    assert mask.sum() == 148


def test_block_cell_mask_transform_draws_as_the_sample_is_seeded():
    transform = build(input_size=64, cell_size=16, patch_size=8)
    masks = []
    for seed in (3, 3, 4):
        np.random.seed(seed)
        masks.append(transform({})['mask'])
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


@pytest.mark.parametrize('sizes', [(200, 32, 16), (224, 32, 12)])
def test_block_cell_mask_transform_uneven_sizes_raise(sizes):
    input_size, cell_size, patch_size = sizes
    with pytest.raises(ConfigError, match='must be a multiple of'):
        build(input_size=input_size, cell_size=cell_size, patch_size=patch_size)
