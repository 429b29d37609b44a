"""Uniform masking: one visible patch in every 2x2 cell, so a dense quarter-size image remains."""

import numpy as np

from mim_bench.errors import ConfigError

CELL = 4  # patches of a 2x2 cell


def uniform_mask(grid: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Hide three patches in every 2x2 cell.

    The kept corner of the cells is drawn without replacement from a pool that
    holds each corner equally often and about twice as many entries as there are
    cells, so the four corners are balanced within an image (for 16x16 patches
    the count of a corner has mean 16 and standard deviation 2.44).

    Args:
        grid: Patch grid as (rows, cols); both even.
        rng: Same state, same mask.

    Returns:
        Boolean array (rows, cols). True = hidden. Exactly 75 % are True.

    Raises:
        ConfigError: A side of ``grid`` is odd or not positive.

    Source: UM-MAE, arXiv:2205.10063; official loader's generator with ``mask_regular``.
    """
    rows, cols = grid
    if rows < 2 or cols < 2 or rows % 2 or cols % 2:
        raise ConfigError(
            f'uniform_mask: grid {grid} must have even, positive sides, because it keeps one '
            'patch of every 2x2 cell. Choose an image size that is a multiple of two patches.'
        )
    num_cells = rows * cols // CELL
    pool_size = -(-2 * num_cells // CELL) * CELL
    corner = rng.permutation(np.arange(pool_size) % CELL)[:num_cells]
    cells = np.ones((num_cells, CELL), dtype=bool)
    cells[np.arange(num_cells), corner] = False
    blocks = cells.reshape(rows // 2, cols // 2, 2, 2)
    return blocks.transpose(0, 2, 1, 3).reshape(rows, cols)


def secondary_mask(mask: np.ndarray, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Hide a share of the patches that a first mask left visible.

    Args:
        mask: Boolean array of any shape. True = hidden by the first mask.
        ratio: Share of the visible patches to hide, in [0, 1).
        rng: Same state, same result.

    Returns:
        Boolean array like ``mask`` and a superset of it; floor(visible * (1 - ratio))
        patches stay visible (48 of 64, or 36 of 49, at ratio 0.25).

    Raises:
        ConfigError: ``ratio`` is outside [0, 1).

    Source: UM-MAE, secondary masking. Differs: drawn beside the first mask in the
    data pipeline; the official code draws it inside the encoder.
    """
    if not 0 <= ratio < 1:
        raise ConfigError(f'secondary_mask: ratio {ratio} must lie in [0, 1).')
    visible = np.flatnonzero(~mask)
    num_hidden = visible.size - int(visible.size * (1 - ratio))
    hidden = mask.copy()
    hidden.flat[rng.permutation(visible)[:num_hidden]] = True
    return hidden
