"""The index of relative positions is that of mmpretrain's classes."""

import pytest
import torch
from mmpretrain.models import BEiTViT
from mmpretrain.models.utils.attention import WindowMSA
from torch._subclasses.fake_tensor import FakeTensorMode

from mim_bench.conversion.resizing.relative_bias import relative_position_index, with_indices


@pytest.mark.parametrize('window', [(2, 2), (3, 5), (7, 7)])
def test_relative_position_index_is_swins(window):
    stock = WindowMSA(embed_dims=4, window_size=window, num_heads=1).relative_position_index
    assert torch.equal(relative_position_index(window, class_token=False), stock)


@pytest.mark.parametrize('size', [(32, 32), (32, 64)])
def test_relative_position_index_with_class_token_is_beits(size):
    arch = dict(embed_dims=4, num_layers=1, num_heads=1, feedforward_channels=4)
    stock = BEiTViT(arch, img_size=size).layers[0].attn.relative_position_index
    index = relative_position_index((size[0] // 16, size[1] // 16), class_token=True)
    assert torch.equal(index, stock)


@pytest.mark.parametrize('mode', [torch.device('meta'), FakeTensorMode()])
def test_index_serves_a_network_after_one_without_memory(mode):
    with mode:
        relative_position_index((2, 3), class_token=True)
    index = relative_position_index((2, 3), class_token=True)
    assert index.tolist()[0] == [17, 15, 15, 15, 15, 15, 15]


def test_with_indices_adds_an_index_to_each_square_table():
    tables = {'a.relative_position_bias_table': torch.zeros(9, 1)}
    tables['b.relative_position_bias_table'] = torch.zeros(15, 1)  # 2 x 3 tokens: (3 * 5, 1)
    assert with_indices(tables)['a.relative_position_index'].shape == (4, 4)
    assert 'b.relative_position_index' not in with_indices(tables)
