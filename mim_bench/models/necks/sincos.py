"""Fixed two-dimensional sine-cosine position embeddings."""

import torch


def sincos_position_embedding(grid: tuple[int, int], embed_dims: int) -> torch.Tensor:
    """MAE's table of positions.

    Args:
        grid: (rows, cols).
        embed_dims: Width; a multiple of four.

    Returns:
        (rows * cols, embed_dims) float32: the first half of the channels encodes the
        column, the second the row, each as sines then cosines.

    Source: MAE, arXiv:2111.06377, official ``pos_embed.py``. mmpretrain's table is its
    spatial transpose.
    """
    frequencies = 1 / 10000 ** (torch.arange(embed_dims // 4, dtype=torch.float64) * 4 / embed_dims)
    rows = torch.arange(grid[0], dtype=torch.float64).repeat_interleave(grid[1])
    cols = torch.arange(grid[1], dtype=torch.float64).repeat(grid[0])
    halves = []
    for place in (cols, rows):
        angles = place[:, None] * frequencies
        halves += [angles.sin(), angles.cos()]
    return torch.cat(halves, dim=1).float()
