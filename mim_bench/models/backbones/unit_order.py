"""The order in which sparse networks keep the tokens of visible units.

Units come in raster order. Inside a unit, tokens follow the Z-curve, so the four tokens that
a 2x2 merging joins always lie next to each other, and the merged tokens lie on the Z-curve of
the coarser grid again.
"""

from functools import lru_cache

import torch


def token_places(units: torch.Tensor, grid: tuple[int, int], tokens_per_unit: int) -> torch.Tensor:
    """Where the tokens of some units stand.

    Args:
        units: (U,) int64, numbers of units in raster order of the unit grid.
        grid: All units as (rows, cols).
        tokens_per_unit: Tokens along a side of a unit; a power of two.

    Returns:
        (U * tokens_per_unit ** 2,) int64: the raster number of each token in the token grid
        of ``rows * tokens_per_unit`` by ``cols * tokens_per_unit``.
    """
    return _tokens_of_units(grid, tokens_per_unit, units.device)[units].flatten()


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a cached table must serve training later
def _tokens_of_units(grid: tuple[int, int], side: int, device: torch.device) -> torch.Tensor:
    """(units, side ** 2) int64: the raster numbers of every unit's tokens on the Z-curve."""
    row, col = _z_curve(side)
    unit = torch.arange(grid[0] * grid[1])[:, None]
    rows = unit // grid[1] * side + row
    cols = unit % grid[1] * side + col
    return (rows * (grid[1] * side) + cols).to(device)


def _z_curve(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns of a square's cells on the Z-curve, each (side ** 2,) int64."""
    row = col = torch.zeros(1, dtype=torch.int64)
    while row.numel() < side**2:
        # Every cell becomes four: 00, 01, 10, 11.
        row = (2 * row[:, None] + torch.tensor([0, 0, 1, 1])).flatten()
        col = (2 * col[:, None] + torch.tensor([0, 1, 0, 1])).flatten()
    return row, col
