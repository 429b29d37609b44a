"""Unit masks: exact counts, LocalMIM's off-by-one, refusals."""

import numpy as np
import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask
from mim_bench.masking.units import mask_of_tokens, token_places, unit_mask


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
    assert token_places(torch.tensor([[4]]), (2, 3), 2).tolist() == [[14, 15, 20, 21]]


def test_token_places_four_in_a_row_become_one_of_the_coarser_grid():
    units, grid = torch.tensor([1, 2, 5]), (2, 3)
    fine, coarse = token_places(units, grid, 4), token_places(units, grid, 2)
    rows, cols = fine // 12 // 2, fine % 12 // 2
    assert torch.equal(rows * 6 + cols, coarse.repeat_interleave(4))


def test_mask_of_tokens_hides_the_tokens_of_hidden_units():
    mask = Mask.of(torch.tensor([[[False, True]]]))
    assert mask_of_tokens(mask, 2).is_hidden.int().tolist() == [[[0, 0, 1, 1], [0, 0, 1, 1]]]
