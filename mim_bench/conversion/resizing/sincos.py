"""Fixed two-dimensional sine-cosine position embeddings."""

import torch


def sincos_position_embedding(
    grid: tuple[int, int], embed_dims: int, *, row_first: bool = False
) -> torch.Tensor:
    """A table (rows * cols, C) float32 of sines and cosines of the patches' places.

    Args:
        grid: (rows, cols).
        embed_dims: C, a multiple of four: each half as sines, then cosines.
        row_first: The first half encodes the row and the second the column, as mmpretrain's table
            of a square grid does, the spatial transpose of MAE's. False is MAE's order.

    Source: MAE, arXiv:2111.06377, official ``pos_embed.py``.
    """
    rows, cols = (_encoded(side, embed_dims // 2) for side in grid)
    rows = rows[:, None].expand(-1, grid[1], -1)
    cols = cols[None].expand(grid[0], -1, -1)
    halves = (rows, cols) if row_first else (cols, rows)
    return torch.cat(halves, dim=2).flatten(0, 1)


def _encoded(side: int, dims: int) -> torch.Tensor:
    """Places 0 to side - 1 along an axis: (side, dims) float32, sines, then cosines."""
    frequencies = 1 / 10000 ** (torch.arange(dims // 2, dtype=torch.float64) * 2 / dims)
    angles = torch.arange(side, dtype=torch.float64)[:, None] * frequencies
    return torch.cat((angles.sin(), angles.cos()), dim=1).float()


def sincos_order(table: torch.Tensor, grid: tuple[int, int]) -> bool | None:
    """Recognise a sine-cosine table (rows * cols, C), to 1e-5 or the precision of a half type.

    Returns:
        ``row_first`` of :func:`sincos_position_embedding`; None if the table is no such one.
    """
    if table.shape[1] % 4:
        return None
    tolerance = max(1e-5, torch.finfo(table.dtype).eps)
    found = table.detach().float().cpu()
    for row_first in (False, True):
        expected = sincos_position_embedding(grid, table.shape[1], row_first=row_first)
        if (found - expected).abs().max() <= tolerance:
            return row_first
    return None
