"""Reading tokens and maps: pooled vectors, raster order, masks of a coarser grid."""

import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.models.backbone_outputs import mask_of_last_stage, pooled_and_patches


def test_pooled_and_patches_of_tokens_leave_the_class_token_out():
    tokens = torch.tensor([[[9.0], [1.0], [2.0], [6.0]]])
    for pooling, expected in (('cls', 9.0), ('gap', 3.0)):
        pooled, patches = pooled_and_patches((tokens,), pooling)
        assert pooled.tolist() == [[expected]]
        assert patches.flatten().tolist() == [1, 2, 6]


def test_pooled_and_patches_of_a_map_are_in_raster_order():
    last = torch.arange(12.0).reshape(1, 2, 2, 3)
    pooled, patches = pooled_and_patches((torch.zeros(1), last), 'gap')
    assert patches[0].tolist() == [[0, 6], [1, 7], [2, 8], [3, 9], [4, 10], [5, 11]]
    assert pooled.tolist() == [[2.5, 8.5]]


def test_pooled_and_patches_of_a_map_have_no_class_token():
    with pytest.raises(ConfigError, match='has no class token'):
        pooled_and_patches(torch.zeros(1, 2, 3, 3), 'cls')


def test_mask_of_last_stage_keeps_whole_cells():
    coarse = torch.tensor([[[True, False, True], [False, False, True]]])
    fine = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert torch.equal(mask_of_last_stage(fine, 6), coarse)
    assert mask_of_last_stage(fine, 96) is fine


@pytest.mark.parametrize('num_tokens', [6, 5])
def test_mask_of_last_stage_of_cut_tokens_raises(num_tokens):
    mask = torch.zeros(1, 8, 12, dtype=torch.bool)
    mask[0, 0, 0] = True
    with pytest.raises(ConfigError, match='total stride'):
        mask_of_last_stage(mask, num_tokens)
