"""Visible and hidden tokens by index, by pencil."""

import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.masking.token_order import split_by_mask, take_tokens

MASK = torch.tensor([[[1, 0], [0, 1]], [[0, 1], [1, 0]]], dtype=torch.bool)


@pytest.mark.parametrize('num_visible', [None, 2])
def test_split_by_mask_gives_raster_order(num_visible):
    visible, hidden = split_by_mask(MASK, num_visible)
    assert visible.tolist() == [[1, 2], [0, 3]]
    assert hidden.tolist() == [[0, 3], [1, 2]]


def test_split_by_mask_uneven_counts_raise():
    mask = MASK.clone()
    mask[0] = True
    with pytest.raises(ConfigError, match=r'leave \[0, 2\] patches visible'):
        split_by_mask(mask)


def test_take_tokens_shares_a_single_sample():
    index = torch.tensor([[2, 0], [1, 1]])
    table = torch.arange(3.0).reshape(1, 3, 1)
    assert take_tokens(table, index).squeeze(-1).tolist() == [[2, 0], [1, 1]]
    both = torch.cat((table, table + 10))
    assert take_tokens(both, index).squeeze(-1).tolist() == [[2, 0], [11, 11]]


def test_take_tokens_shares_a_single_index():
    tokens = torch.tensor([[0.0, 1.0], [10.0, 11.0]])
    assert take_tokens(tokens, torch.tensor([[1]])).tolist() == [[1], [11]]
