"""Attention of a vision transformer within windows of its map. No padding takes part."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import nn

from mim_bench.models.backbones.beit_blocks import attend_to_all
from mim_bench.models.backbones.windows import WindowPlan, from_windows, to_windows

Span = tuple[int, int]


@lru_cache(maxsize=256)
def window_shapes(grid: tuple[int, int], window_size: int) -> tuple[tuple[int, int], ...]:
    """The shapes of the windows that tile a map, in the order of :func:`attend_in_windows`.

    Windows at the right and lower border are as small as what is left there, so at most four
    shapes occur. Smaller ones are what masking the padding of whole windows would leave.
    """
    return tuple(shape for _, _, shape in _regions(grid, window_size))


def attend_in_windows(
    qkv: torch.Tensor,
    attn: nn.Module,
    biases: Sequence[torch.Tensor | None],
    *,
    grid: tuple[int, int],
    window_size: int,
) -> torch.Tensor:
    """Self-attention of patch tokens within non-overlapping windows.

    Args:
        qkv: (B, rows * cols, 3 C), queries, keys and values of the patches.
        attn: Holds ``num_heads`` and ``scale``.
        biases: For each of :func:`window_shapes` (1, heads, tokens, tokens), or None.
        grid: (rows, cols).
        window_size: Side of a window in tokens.

    Returns:
        (B, rows * cols, C).
    """
    maps = qkv.unflatten(1, grid)
    strips: dict[Span, list[torch.Tensor]] = {}
    for (rows, cols, shape), bias in zip(_regions(grid, window_size), biases, strict=True):
        plan = WindowPlan((rows[1] - rows[0], cols[1] - cols[0]), shape, (0, 0))
        windows = to_windows(maps[:, slice(*rows), slice(*cols)], plan)
        attended = attend_to_all(windows.flatten(0, 1), attn, bias)
        attended = from_windows(attended.unflatten(0, windows.shape[:2]), plan)
        strips.setdefault(rows, []).append(attended)
    return _join([_join(parts, dim=2) for parts in strips.values()], dim=1).flatten(1, 2)


def _join(parts: list[torch.Tensor], dim: int) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


def _regions(grid: tuple[int, int], window_size: int) -> list[tuple[Span, Span, tuple[int, int]]]:
    """Parts of a map with windows of one shape: rows from and to, columns, the shape."""
    spans = [_spans(side, window_size) for side in grid]
    return [(r, c, (height, width)) for r, height in spans[0] for c, width in spans[1]]


def _spans(side: int, window_size: int) -> list[tuple[Span, int]]:
    whole = side - side % window_size
    parts = [((0, whole), window_size), ((whole, side), side - whole)]
    return [(span, size) for span, size in parts if span[0] < span[1]]
