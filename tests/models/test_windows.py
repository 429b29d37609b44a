"""Window arithmetic: cutting and joining, which tokens meet, which offsets occur."""

import pytest
import torch
from torch.nn import functional as F

from mim_bench.models.backbones.swin import Swin
from mim_bench.models.backbones.ummae_swin import offset_table
from mim_bench.models.layers.windows import (
    Windows,
    attend_in_windows,
    fit_windows,
    look_up_bias,
    offset_index,
)
from mim_bench.models.methods.ummae import irregular_index

CPU = torch.device('cpu')


@pytest.mark.parametrize('grid', [(8, 8), (8, 12), (7, 9), (3, 10), (2, 2)])
@pytest.mark.parametrize('shifted', [False, True])
def test_windows_cut_and_joined_are_the_same_map(grid, shifted):
    x, windows = torch.randn(2, *grid, 3), fit_windows(grid, 4, shifted)
    torch.testing.assert_close(windows.join(windows.cut(x)), x, rtol=0, atol=0)


def test_windows_on_a_map_no_longer_than_one_are_not_shifted():
    assert fit_windows((4, 12), 4, shifted=True) == Windows((4, 12), (4, 4), (0, 2))


def test_separation_of_a_shifted_map_by_pencil():
    # One row of four tokens, windows of two, shift one: rolled order is 1 2 | 3 0.
    first, second = fit_windows((1, 4), 2, shifted=True).separation(CPU, of_padding=True)
    assert first.tolist() == [[0, 0], [0, 0]]
    assert second.tolist() == [[0, -100], [-100, 0]]


def test_separation_of_padding_only_where_it_is_asked_for():
    # Three tokens in windows of two: the last window is token 2 and one of padding.
    windows = fit_windows((1, 3), 2, shifted=False)
    assert windows.separation(CPU, of_padding=True)[1].tolist() == [[0, -100], [-100, 0]]
    assert windows.separation(CPU, of_padding=False) is None


@pytest.mark.parametrize(
    ('grid', 'pad_small_map', 'window', 'shift'),
    [
        ((8, 8), False, (4, 4), (2, 2)),
        ((4, 8), False, (4, 4), (0, 0)),  # covered along one side: nothing shifts
        ((3, 8), False, (3, 4), (0, 0)),
        ((3, 8), True, (4, 4), (2, 2)),
    ],
)
def test_swin_windows_of_a_shifted_block(grid, pad_small_map, window, shift):
    arch = dict(embed_dims=8, depths=[1], num_heads=[1])
    _, shifted = Swin(arch, window_size=4, pad_small_map=pad_small_map).layouts(0, grid, CPU)
    assert (shifted.windows.size, shifted.windows.shift) == (window, shift)


def test_offset_index_counts_key_minus_query():
    index, table = offset_index((2, 2), (2, 2), CPU), offset_table((2, 2), CPU)
    # From token (0, 1) to token (1, 0): one row down, one column left.
    assert table[index[1, 2]].tolist() == [1, -1]
    assert table[index[2, 1]].tolist() == [-1, 1]
    # The same offset among those of a window of 3 x 3, whose middle is (2, 2).
    assert offset_index((2, 2), (3, 3), CPU)[1, 2] == 3 * 5 + 1


def test_irregular_index_on_a_regular_map_gives_the_regular_offsets():
    rows, cols = torch.meshgrid(torch.arange(4), torch.arange(4), indexing='ij')
    places = fit_windows((4, 4), 2, shifted=False).cut(torch.stack((rows, cols), -1)[None])
    regular = offset_table((2, 2), CPU)[offset_index((2, 2), (2, 2), CPU)]
    for window in irregular_index(places, reach=3)[0]:
        torch.testing.assert_close(offset_table((4, 4), CPU)[window], regular)


# A bias of all images and windows, of each window, of each window of each image.
@pytest.mark.parametrize('lead', [(1, 1), (1, 3), (2, 3)])
def test_attention_in_windows_is_that_of_each_window_alone(lead):
    torch.manual_seed(0)
    qkv = torch.randn(2, 3, 4, 3 * 8, dtype=torch.float64)
    bias = torch.randn(*lead, 2, 4, 4, dtype=torch.float64)
    ours = attend_in_windows(qkv, bias)
    for image in range(2):
        for window in range(3):
            q, k, v = qkv[image, window].reshape(4, 3, 2, 4).permute(1, 2, 0, 3)
            own = bias[image % lead[0], window % lead[1]]
            expected = F.scaled_dot_product_attention(q, k, v, attn_mask=own)
            expected = expected.transpose(0, 1).flatten(1)
            torch.testing.assert_close(ours[image, window], expected)


def test_look_up_bias_puts_heads_first():
    table, index = torch.arange(6.0).reshape(3, 2), torch.tensor([[2, 0], [1, 1]])
    assert look_up_bias(table, index).tolist() == [[[4, 0], [2, 2]], [[5, 1], [3, 3]]]
