"""Window arithmetic: partition and back, which tokens meet, which offsets occur."""

import pytest
import torch

from mim_bench.models.backbones.windows import (
    bias_table_index,
    from_windows,
    irregular_index,
    offset_square,
    plan_swin_windows,
    plan_windows,
    region_mask,
    regular_offsets,
    to_windows,
)

CPU = torch.device('cpu')


@pytest.mark.parametrize('grid', [(8, 8), (8, 12), (7, 9), (3, 10), (2, 2)])
@pytest.mark.parametrize('shifted', [False, True])
def test_windows_cut_and_put_back_is_the_same_map(grid, shifted):
    x = torch.randn(2, *grid, 3)
    plan = plan_windows(grid, 4, shifted)
    torch.testing.assert_close(from_windows(to_windows(x, plan), plan), x, rtol=0, atol=0)


def test_plan_map_no_longer_than_window_is_not_shifted():
    plan = plan_windows((4, 12), 4, shifted=True)
    assert plan.window == (4, 4)
    assert plan.shift == (0, 2)


def test_region_mask_of_a_shifted_map_by_pencil():
    # One row of four tokens, windows of two, shift one: rolled order is 1 2 | 3 0.
    plan = plan_windows((1, 4), 2, shifted=True)
    first, second = region_mask(plan)
    assert first.tolist() == [[0, 0], [0, 0]]
    assert second.tolist() == [[0, -100], [-100, 0]]


def test_region_mask_keeps_padding_apart():
    # Three tokens in windows of two: the last window is token 2 and one of padding.
    plan = plan_windows((1, 3), 2, shifted=False)
    assert region_mask(plan)[1].tolist() == [[0, -100], [-100, 0]]


def test_region_mask_of_the_whole_map_lets_padding_take_part():
    plan = plan_windows((1, 3), 2, shifted=False)
    assert plan.needs_mask
    assert not plan.whole.needs_mask
    assert not region_mask(plan.whole).any()


@pytest.mark.parametrize(
    ('grid', 'pad_small_map', 'window', 'shift'),
    [
        ((8, 8), False, (4, 4), (2, 2)),
        ((4, 8), False, (4, 4), (0, 0)),  # covered along one side: nothing shifts
        ((3, 8), False, (3, 4), (0, 0)),
        ((3, 8), True, (4, 4), (2, 2)),
    ],
)
def test_plan_swin_windows_of_a_shifted_block(grid, pad_small_map, window, shift):
    plan = plan_swin_windows(grid, 4, shifted=True, pad_small_map=pad_small_map)
    assert (plan.window, plan.shift) == (window, shift)


def test_bias_table_index_counts_query_minus_key_from_the_middle_of_the_table():
    index = bias_table_index((2, 2), (2, 2), CPU)
    # From token (0, 1) to token (1, 0): one row up, one column right, so row 0 and column 2.
    assert index[1, 2] == 2
    assert index[0, 0] == 4
    # The same offset in a table of 5 x 5, whose middle is (2, 2).
    assert bias_table_index((2, 2), (3, 3), CPU)[1, 2] == 1 * 5 + 3


def test_regular_offsets_are_key_minus_query():
    table, index = regular_offsets((2, 2), CPU)
    # From token (0, 1) to token (1, 0): one row down, one column left.
    assert table[index[1, 2]].tolist() == [1, -1]
    assert table[index[2, 1]].tolist() == [-1, 1]
    assert len(table) == 9


def test_irregular_index_on_a_regular_map_gives_the_regular_offsets():
    rows, cols = torch.meshgrid(torch.arange(4), torch.arange(4), indexing='ij')
    places = torch.stack((rows, cols), -1)[None]
    plan = plan_windows((4, 4), 2, shifted=False)
    index = irregular_index(places, plan, radius=3)
    table, regular = regular_offsets((2, 2), CPU)
    for window in index[0]:
        torch.testing.assert_close(offset_square(3, 1.0, CPU)[window], table[regular])
