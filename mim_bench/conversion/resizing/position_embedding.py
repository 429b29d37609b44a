"""Absolute position embeddings for other grids."""

import math

import torch
from torch.nn import functional as F

from mim_bench.conversion.resizing.sincos import sincos_order, sincos_position_embedding
from mim_bench.errors import ConversionError

_MOST_PREFIX_ROWS = 8


def resize_position_embedding(
    table: torch.Tensor,
    grid: tuple[int, int],
    *,
    source_grid: tuple[int, int] | None = None,
    recompute_sincos: bool = True,
) -> torch.Tensor:
    """A position embedding for another grid.

    Args:
        table: (1, prefix + rows * cols, C), any float type: rows of class, distillation or
            register tokens, then the patches in raster order.
        grid: Wanted (rows, cols).
        source_grid: The table's (rows, cols); None: the largest square that fits, and what
            is left over are prefix rows.
        recompute_sincos: A table that is a fixed sine-cosine table is computed for the new
            grid, in its own order; otherwise it is interpolated like a learned one.

    Returns:
        (1, prefix + rows * cols, C) of the same type: the prefix rows as they are; the same
        tensor if the grid is. Interpolation is bicubic in float32.

    Raises:
        ConversionError: The table does not have the shape of ``source_grid``, or without it
            of a square.

    Source: MAE's and DeiT's loaders (bicubic, ``align_corners=False``).
    """
    source_grid = source_grid or square_grid(table)
    prefix, patches = split_prefix(table, source_grid)
    if tuple(source_grid) == tuple(grid):
        return table
    order = sincos_order(patches[0], source_grid) if recompute_sincos else None
    if order is not None:
        resized = sincos_position_embedding(grid, table.shape[2], row_first=order)[None]
    else:
        maps = patches.float().transpose(1, 2).unflatten(2, tuple(source_grid))
        maps = F.interpolate(maps, size=tuple(grid), mode='bicubic', align_corners=False)
        resized = maps.flatten(2).transpose(1, 2)
    return torch.cat((prefix, resized.to(table)), dim=1)


def split_prefix(
    table: torch.Tensor, source_grid: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prefix rows (1, n, C) and patches (1, rows * cols, C) of a table.

    Raises:
        ConversionError: The table has fewer rows than the grid.
    """
    num_patches = source_grid[0] * source_grid[1]
    if table.ndim != 3 or table.shape[1] < num_patches:
        raise ConversionError(
            f'A position embedding of shape {tuple(table.shape)} is not one of {num_patches} '
            f'patches in a grid of {tuple(source_grid)}. Name the grid that it was made for.'
        )
    return table.split((table.shape[1] - num_patches, num_patches), dim=1)


def square_grid(table: torch.Tensor) -> tuple[int, int]:
    """The square grid of a table (1, prefix + side * side, C).

    Raises:
        ConversionError: No square leaves a likely number of prefix rows.
    """
    rows = table.shape[1] if table.ndim == 3 else 0
    side = math.isqrt(rows)
    if not rows or rows - side * side > _MOST_PREFIX_ROWS:
        raise ConversionError(
            f'A position embedding of shape {tuple(table.shape)} is not one of a square grid '
            f'with at most {_MOST_PREFIX_ROWS} prefix tokens. Name the grid that it was made for.'
        )
    return side, side
