"""The compact grid against the definition written with loops."""

import numpy as np
import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.masking.uniform import uniform_mask
from mim_bench.models.backbones.compact_grid import CompactGrid


def make_masks(batch: int = 3, side: int = 4) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.stack([uniform_mask((side, side), rng) for _ in range(batch)]))


def test_gather_keeps_the_visible_patch_of_every_cell():
    masks, patches = make_masks(), torch.randn(3, 4, 4, 5)
    kept = CompactGrid.from_mask(masks).gather(patches)
    assert kept.shape == (3, 2, 2, 5)
    for b in range(3):
        for row in range(2):
            for col in range(2):
                cell = masks[b, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
                ((i, j),) = (~cell).nonzero().tolist()
                assert torch.equal(kept[b, row, col], patches[b, 2 * row + i, 2 * col + j])


def test_token_places_point_to_the_tokens_of_the_kept_patches():
    cells = CompactGrid.from_mask(make_masks())
    patches, places = cells.patch_places(), cells.token_places(2)
    assert places.shape == (3, 4, 4, 2)
    for row in range(4):
        for col in range(4):
            inner = torch.tensor([row % 2, col % 2])
            expected = 2 * patches[:, row // 2, col // 2] + inner
            assert torch.equal(places[:, row, col], expected)


def test_patch_places_are_those_of_the_mask():
    masks = make_masks()
    places = CompactGrid.from_mask(masks).patch_places()
    assert not masks[torch.arange(3)[:, None, None], places[..., 0], places[..., 1]].any()
    cells = torch.stack(torch.meshgrid(torch.arange(2), torch.arange(2), indexing='ij'), dim=-1)
    assert torch.equal(places // 2, cells.expand(3, 2, 2, 2))


def test_visible_positions_in_cell_order_are_the_patches_own():
    masks = make_masks(batch=1)
    grid = torch.arange(16).reshape(1, 4, 4, 1)
    cell_order = CompactGrid.from_mask(masks).gather(grid).flatten()
    raster_order = grid.flatten()[~masks.flatten()]
    assert set(cell_order.tolist()) == set(raster_order.tolist())


def test_compact_grid_odd_side_raises():
    with pytest.raises(ConfigError, match='even sides'):
        CompactGrid.from_mask(torch.zeros(1, 3, 4, dtype=torch.bool))
