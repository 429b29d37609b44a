"""Absolute position embeddings for other grids, and which grid a table was made for."""

import math

import torch
from torch.nn import functional as F

from mim_bench.conversion.resizing.sincos import sincos_order, sincos_position_embedding
from mim_bench.errors import ConversionError

Grid = tuple[int, int]


def resize_position_embedding(
    table: torch.Tensor,
    grid: Grid,
    *,
    num_prefix: int = 0,
    source_grid: Grid | None = None,
    recompute_sincos: bool = False,
    antialias: bool = False,
    offset: float = 0.0,
) -> torch.Tensor:
    """A position embedding for another grid, interpolated bicubically in float32.

    Args:
        table: (1, prefix + rows * cols, C), any float type: rows of prefix tokens, then the patches
            in raster order.
        grid: Wanted (rows, cols).
        num_prefix: Rows before the patches.
        source_grid: The table's (rows, cols). Defaults to a square.
        recompute_sincos: Compute a fixed sine-cosine table for the new grid, in its own order.
        antialias: Another kernel, widened where the grid shrinks.
        offset: Added to the sides of the wanted grid before their ratios to the table's become the
            scale, as DINO does against rounding. With 0 the sides themselves decide.

    Returns:
        The same tensor if the grid is the same; prefix rows are unchanged.

    Raises:
        ConversionError: The table does not have the shape of its grid.

    Source: the loaders of MAE, DeiT and BEiT (bicubic, ``align_corners=False``, no
    anti-aliasing); ``offset``: facebookresearch/dino@7c446df, vision_transformer.py.
    """
    num_patches = table.shape[1] - num_prefix
    source_grid = tuple(source_grid or square_grid(num_patches))
    if table.ndim != 3 or num_patches != math.prod(source_grid):
        raise ConversionError(
            f'A position embedding of shape {tuple(table.shape)} with {num_prefix} prefix rows '
            f'is not one of {math.prod(source_grid)} patches in a grid of {source_grid}. Name '
            'the grid that it was made for.'
        )
    if source_grid == tuple(grid):
        return table
    order = sincos_order(table[0, num_prefix:], source_grid) if recompute_sincos else None
    if order is not None:
        resized = sincos_position_embedding(grid, table.shape[2], row_first=order)[None]
        return torch.cat((table[:, :num_prefix], resized.to(table)), dim=1)
    if offset:
        return _resized_by_scale(table, grid, source_grid, num_prefix, offset)
    # Only resizing needs timm, whose import takes a while.
    from timm.layers import resample_abs_pos_embed

    return resample_abs_pos_embed(
        table,
        list(grid),
        list(source_grid),
        num_prefix_tokens=num_prefix,
        antialias=antialias,
        align_corners=False,
    )


def _resized_by_scale(
    table: torch.Tensor, grid: Grid, source_grid: Grid, num_prefix: int, offset: float
) -> torch.Tensor:
    """By factors (side + offset) / old side: DINO's ``interpolate_pos_encoding``."""
    patches = table[:, num_prefix:].float().unflatten(1, source_grid).permute(0, 3, 1, 2)
    scales = tuple((side + offset) / old for side, old in zip(grid, source_grid, strict=True))
    resized = F.interpolate(patches, scale_factor=scales, mode='bicubic', align_corners=False)
    resized = resized.permute(0, 2, 3, 1).flatten(1, 2).to(table.dtype)
    return torch.cat((table[:, :num_prefix], resized), dim=1)


def square_side(num_patches: int) -> int | None:
    """The side of the square grid of a number of patches; None if the number is no square."""
    side = math.isqrt(max(num_patches, 0))
    return side if side and side * side == num_patches else None


def square_grid(num_patches: int) -> Grid:
    """The square grid of a number of patches.

    Raises:
        ConversionError: The number is no square.
    """
    side = square_side(num_patches)
    if side is None:
        raise ConversionError(
            f'A position embedding of {num_patches} patches is not one of a square grid. Name the '
            'grid that it was made for: checkpoint_grid=(rows, cols) of the backbone, or --arch '
            'img_size=(height, width) of mim-bench convert.'
        )
    return side, side
