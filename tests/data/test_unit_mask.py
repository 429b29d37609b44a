"""The transform of unit masks."""

import numpy as np
import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.registry import TRANSFORMS


def draw(seed: int, **kwargs) -> torch.Tensor:
    np.random.seed(seed)
    return TRANSFORMS.build(dict(type='mim_bench.UnitMask', **kwargs)).transform({})['mask']


def test_unit_mask_transform_adds_a_bool_for_each_unit():
    mask = draw(0, input_size=224)
    assert mask.shape == (7, 7)
    assert mask.dtype == torch.bool
    assert mask.sum() == 37


def test_unit_mask_transform_follows_the_global_seed():
    assert torch.equal(draw(1, input_size=224), draw(1, input_size=224))
    assert not torch.equal(draw(1, input_size=224), draw(2, input_size=224))


def test_unit_mask_transform_size_between_units_raises():
    with pytest.raises(ConfigError, match='input_size 200 is not a multiple of unit_size 32'):
        draw(0, input_size=200)
