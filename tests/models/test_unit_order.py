"""The order of visible tokens, by pencil."""

import torch

from mim_bench.models.backbones.unit_order import token_places


def test_token_places_follow_the_z_curve_inside_a_unit():
    places = token_places(torch.tensor([0]), (1, 1), 4)
    # Rows of a unit of 4x4 tokens, and when each is visited.
    visits = torch.empty(16, dtype=torch.int64)
    visits[places] = torch.arange(16)
    assert visits.reshape(4, 4).tolist() == [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
        [8, 9, 12, 13],
        [10, 11, 14, 15],
    ]


def test_token_places_of_a_unit_lie_in_the_whole_grid():
    # Unit 4 of 2x3 units is the middle one of the second row; the token grid is 4x6.
    assert token_places(torch.tensor([4]), (2, 3), 2).tolist() == [14, 15, 20, 21]


def test_token_places_four_in_a_row_become_one_of_the_coarser_grid():
    units, grid = torch.tensor([1, 2, 5]), (2, 3)
    fine, coarse = token_places(units, grid, 4), token_places(units, grid, 2)
    rows, cols = fine // 12 // 2, fine % 12 // 2
    assert torch.equal(rows * 6 + cols, coarse.repeat_interleave(4))
