"""Masking in square cells of several patches: SimMIM's mask, also ConMIM's."""

import math

import numpy as np

from mim_bench.errors import ConfigError


def block_cell_mask(
    grid: tuple[int, int], cell: int, mask_ratio: float, rng: np.random.Generator
) -> np.ndarray:
    """Hide whole cells, drawn at random.

    Args:
        grid: Patch grid as (rows, cols), multiples of ``cell``.
        cell: Side of a cell in patches.
        mask_ratio: Share of the cells to hide, in [0, 1]; the count is rounded up.
        rng: Same state, same mask.

    Returns:
        Boolean array (rows, cols). True = hidden. ``ceil(cells * mask_ratio)`` cells are
        hidden: 37 of 49, so 148 of 196 patches, for a grid of 14x14 at cell 2 and ratio 0.75.

    Raises:
        ConfigError: The grid is no whole number of cells, or the ratio is out of its range.

    Source: SimMIM, arXiv:2111.09886; ConMIM's ``random_mps32``, TencentARC/ConMIM@4263955.
    """
    rows, cols = grid
    if cell < 1 or rows % cell or cols % cell:
        raise ConfigError(
            f'block_cell_mask: a grid of {rows}x{cols} patches is no whole number of cells of '
            f'{cell}x{cell}. Choose an image size that is a multiple of the cell.'
        )
    if not 0 <= mask_ratio <= 1:
        raise ConfigError(f'block_cell_mask: mask_ratio {mask_ratio} must lie in [0, 1].')
    cells = np.zeros((rows // cell) * (cols // cell), dtype=bool)
    cells[rng.permutation(cells.size)[: math.ceil(cells.size * mask_ratio)]] = True
    mask = cells.reshape(rows // cell, cols // cell)
    return mask.repeat(cell, axis=0).repeat(cell, axis=1)
