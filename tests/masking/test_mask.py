import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask, take_tokens

# Two images of 2 x 3 patches; True = hidden.
HIDDEN = torch.tensor([[[1, 0, 1], [0, 1, 0]], [[0, 0, 0], [1, 1, 1]]]).bool()


def test_mask_holds_the_places_of_both_kinds():
    mask = Mask.of(HIDDEN)
    assert (mask.num_visible, mask.num_hidden, mask.grid) == (3, 3, (2, 3))
    assert mask.visible.tolist() == [[1, 3, 5], [0, 1, 2]]
    assert mask.hidden.tolist() == [[0, 2, 4], [3, 4, 5]]
    assert mask.ranks.tolist() == [[3, 0, 4, 1, 5, 2], [0, 1, 2, 3, 4, 5]]
    assert torch.equal(mask.is_hidden, HIDDEN)
    assert Mask.of(mask) is mask
    assert mask.first().hidden.tolist() == [[0, 2, 4]]


def test_mask_without_or_with_hidden_patches_only():
    assert Mask.of(torch.zeros(2, 2, 2)).visible.tolist() == [[0, 1, 2, 3]] * 2
    assert Mask.of(torch.ones(1, 2, 2)).num_visible == 0


def test_mask_of_images_that_hide_different_numbers_raises():
    with pytest.raises(ConfigError, match=r'\[2, 3\] patches visible'):
        Mask.of(torch.tensor([[[1, 0, 0, 0]], [[1, 1, 0, 0]]]).bool())


def test_mask_of_another_rank_raises():
    with pytest.raises(ConfigError, match=r'shape \(2, 6\)'):
        Mask.of(HIDDEN.flatten(1))


def test_mask_coarser_keeps_what_is_hidden_as_a_whole():
    fine = torch.tensor([[[1, 0], [0, 1]], [[0, 1], [1, 0]]]).bool()
    mask = Mask.of(fine.repeat_interleave(2, 1).repeat_interleave(2, 2)).coarser(2)
    assert torch.equal(mask.is_hidden, fine)
    assert (mask.num_visible, mask.grid, mask.cell) == (2, (2, 2), 1)


def test_mask_coarser_of_cells_that_do_not_fit_raises():
    # Half of each is hidden, so only the cells tell that the second is not of squares.
    rows = torch.tensor([1, 1, 0, 0]).bool()[:, None].expand(4, 4)[None]
    assert Mask.of(rows).coarser(2).hidden.tolist() == [[0, 1]]
    with pytest.raises(ConfigError, match='hides parts of squares of 2 x 2'):
        Mask.of(rows.roll(1, dims=1)).coarser(2)
    with pytest.raises(ConfigError, match='hides parts of squares of 2 x 2'):
        Mask.of(HIDDEN).coarser(2)


def test_mask_at_its_own_or_a_coarser_number_of_tokens():
    mask = Mask.of(
        torch.tensor([[[1, 0], [0, 1]]]).bool().repeat_interleave(2, 1).repeat_interleave(2, 2)
    )
    assert mask.at(16) is mask
    assert mask.at(4).grid == (2, 2)


@pytest.mark.parametrize('shape', [(2, 6), (2, 6, 4), (2, 6, 2, 2)])
@pytest.mark.parametrize(('num_tokens', 'num_index'), [(2, 2), (1, 2), (2, 1), (1, 1)])
def test_take_tokens_picks_by_place_for_each_image(shape, num_tokens, num_index):
    tokens, index = torch.randn(shape)[:num_tokens], torch.tensor([[5, 0], [2, 3]])[:num_index]
    taken = take_tokens(tokens, index)
    assert len(taken) == max(num_tokens, num_index)
    for b in range(len(taken)):
        own, places = tokens[b % num_tokens], index[b % num_index]
        assert torch.equal(taken[b], torch.stack([own[place] for place in places]))
