"""Masking of whole units: a unit is the square that one token of a pyramid's last stage covers.

Sparse networks keep the tokens of visible units in this order: units in raster order and,
inside a unit, tokens on the Z-curve, so the four tokens that a 2x2 merging joins always lie
next to each other, and the merged tokens lie on the Z-curve of the coarser grid again.
"""

import numpy as np
import torch

from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask


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


def token_places(units: torch.Tensor, grid: tuple[int, int], tokens_per_unit: int) -> torch.Tensor:
    """Raster indices of the tokens inside units, in the token order of sparse networks.

    Args:
        units: (..., U) int64, indices of units in raster order of the unit grid.
        grid: All units as (rows, cols).
        tokens_per_unit: Tokens along a side of a unit; a power of two.

    Returns:
        (..., U * tokens_per_unit ** 2) int64: the raster index of each token in the token grid
        of ``rows * tokens_per_unit`` by ``cols * tokens_per_unit``.
    """
    side = tokens_per_unit
    visit = torch.arange(side**2, device=units.device)
    row = col = torch.zeros_like(visit)
    for bit in range(side.bit_length() - 1):  # the column has the even bits of a visit
        col = col + (((visit >> (2 * bit)) & 1) << bit)
        row = row + (((visit >> (2 * bit + 1)) & 1) << bit)
    units = units[..., None]
    rows = units // grid[1] * side + row
    return (rows * (grid[1] * side) + units % grid[1] * side + col).flatten(-2)


def mask_of_tokens(mask: Mask, tokens_per_unit: int) -> Mask:
    """Expand a mask of units to their tokens, in the token order of sparse networks.

    Args:
        mask: A mask over units.
        tokens_per_unit: Tokens along a side of a unit; a power of two.
    """
    t = tokens_per_unit
    order = token_places(mask.order, mask.grid, t)
    return Mask(order, mask.num_visible * t**2, (mask.grid[0] * t, mask.grid[1] * t))
