"""The compact grid against the definition written with loops."""

import numpy as np
import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.masking.uniform import uniform_mask
from mim_bench.models.backbones.compact_grid import CompactGrid, compact_images


def make_masks(batch: int = 3, side: int = 4) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.stack([uniform_mask((side, side), rng) for _ in range(batch)]))


def test_compact_images_equal_the_kept_patches_in_cell_order():
    masks, images = make_masks(), torch.randn(3, 3, 16, 16)
    compact = compact_images(images, CompactGrid.from_mask(masks), patch_size=4)
    assert compact.shape == (3, 3, 8, 8)
    for b in range(3):
        for row in range(2):
            for col in range(2):
                cell = masks[b, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
                ((i, j),) = (~cell).nonzero().tolist()
                top, left = 4 * (2 * row + i), 4 * (2 * col + j)
                expected = images[b, :, top : top + 4, left : left + 4]
                found = compact[b, :, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4]
                assert torch.equal(found, expected)


def test_token_places_point_to_the_token_that_was_kept():
    masks = make_masks()
    cells = CompactGrid.from_mask(masks)
    tokens = torch.arange(8 * 8).reshape(1, 1, 8, 8).expand(3, 1, 8, 8)
    kept = compact_images(tokens, cells, patch_size=2)[:, 0]  # token numbers, 2 a patch side
    places = cells.token_places(2)
    assert torch.equal(places[..., 0] * 8 + places[..., 1], kept)


def test_visible_positions_in_cell_order_are_the_patches_own():
    masks = make_masks(batch=1)
    grid = torch.arange(16).reshape(1, 4, 4, 1)
    cell_order = CompactGrid.from_mask(masks).gather(grid).flatten()
    raster_order = grid.flatten()[~masks.flatten()]
    assert set(cell_order.tolist()) == set(raster_order.tolist())


def test_compact_grid_odd_side_raises():
    with pytest.raises(ConfigError, match='even sides'):
        CompactGrid.from_mask(torch.zeros(1, 3, 4, dtype=torch.bool))
