"""Masking of whole units: the squares of pixels that one token of the last stage stands for."""

import numpy as np

from mim_bench.errors import ConfigError


def unit_mask(grid: tuple[int, int], mask_ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Hide a fixed number of units.

    Args:
        grid: Units as (rows, cols).
        mask_ratio: Share of the units to hide; the count is int(units * ratio) + 1, so 37
            of 49 at 0.75.
        rng: Same state, same mask.

    Returns:
        Boolean array (rows, cols). True = hidden.

    Raises:
        ConfigError: ``mask_ratio`` is outside [0, 1), or no unit would stay visible.

    Source: LocalMIM, arXiv:2303.05251; official Swin (Haoqing-Wang/LocalMIM@314a6e5), whose
    count is one above int(units * ratio).
    """
    if not 0 <= mask_ratio < 1:
        raise ConfigError(f'unit_mask: mask_ratio {mask_ratio} must lie in [0, 1).')
    num_units = grid[0] * grid[1]
    num_hidden = int(num_units * mask_ratio) + 1
    if num_hidden >= num_units:
        raise ConfigError(
            f'unit_mask: mask_ratio {mask_ratio} hides {num_hidden} of {num_units} units, so '
            'nothing stays visible. Lower the ratio, or use larger images or smaller units.'
        )
    mask = np.zeros(num_units, dtype=bool)
    mask[rng.permutation(num_units)[:num_hidden]] = True
    return mask.reshape(grid)
