"""Masking in cells: exact counts, whole cells, no preferred cell."""

import numpy as np
import pytest

from mim_bench.errors import ConfigError
from mim_bench.masking.block_cells import block_cell_mask


@pytest.mark.parametrize(
    ('grid', 'cell', 'ratio', 'hidden'),
    [
        ((14, 14), 2, 0.75, 148),  # ConMIM: 37 of 49 cells
        ((48, 48), 8, 0.6, 22 * 64),  # SimMIM: 22 of 36 cells
        ((4, 6), 1, 0.5, 12),
        ((4, 4), 2, 1.0, 16),
        ((4, 4), 2, 0.0, 0),
    ],
)
def test_block_cell_mask_hides_the_share_of_cells_rounded_up(grid, cell, ratio, hidden):
    mask = block_cell_mask(grid, cell, ratio, np.random.default_rng(0))
    assert mask.dtype == bool
    assert mask.shape == grid
    assert mask.sum() == hidden


def test_block_cell_mask_hides_whole_cells():
    mask = block_cell_mask((6, 8), 2, 0.5, np.random.default_rng(0))
    cells = mask.reshape(3, 2, 4, 2)
    assert (cells.all(axis=(1, 3)) == cells.any(axis=(1, 3))).all()


def test_block_cell_mask_hides_every_cell_equally_often():
    rng = np.random.default_rng(0)
    share = np.mean([block_cell_mask((8, 8), 2, 0.75, rng) for _ in range(4000)], axis=0)
    # Six standard deviations of a share of 4000 draws.
    assert np.abs(share - 0.75).max() < 6 * (0.75 * 0.25 / 4000) ** 0.5


def test_block_cell_mask_grid_of_part_cells_raises():
    with pytest.raises(ConfigError, match=r'14x14 patches is no whole number of cells of 4x4'):
        block_cell_mask((14, 14), 4, 0.75, np.random.default_rng(0))


def test_block_cell_mask_ratio_over_one_raises():
    with pytest.raises(ConfigError, match=r'mask_ratio 1\.5'):
        block_cell_mask((4, 4), 2, 1.5, np.random.default_rng(0))
