"""Shifted windows: cutting maps into windows, separating regions, attention inside windows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from mmengine.model import BaseModule
from timm.models.swin_transformer import window_partition, window_reverse
from torch import nn
from torch.nn import functional as F

MASKED_LOGIT = -100.0  # the value of Swin and of UM-MAE's official code


@dataclass(frozen=True)
class Windows:
    """Padding, shift and cutting of a map into windows.

    Attributes:
        grid: The map as (rows, cols).
        size: A window as (rows, cols).
        shift: The cyclic shift as (rows, cols).
    """

    grid: tuple[int, int]
    size: tuple[int, int]
    shift: tuple[int, int] = (0, 0)

    @property
    def padded(self) -> tuple[int, int]:
        """Size of the map padded to whole windows, (rows, cols)."""
        rows, cols = (-(-g // w) * w for g, w in zip(self.grid, self.size, strict=True))
        return rows, cols

    def cut(self, x: torch.Tensor) -> torch.Tensor:
        """Cut maps into windows: (B, rows, cols, C) -> (B, windows, tokens, C)."""
        (rows, cols), (own_rows, own_cols) = self.padded, self.grid
        if (rows, cols) != self.grid:
            x = F.pad(x, (0, 0, 0, cols - own_cols, 0, rows - own_rows))
        if any(self.shift):
            x = torch.roll(x, (-self.shift[0], -self.shift[1]), dims=(1, 2))
        return window_partition(x, self.size).reshape(
            len(x), -1, self.size[0] * self.size[1], x.shape[-1]
        )

    def join(self, x: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`cut`: (B, windows, tokens, C) -> (B, rows, cols, C)."""
        x = window_reverse(x.reshape(-1, *self.size, x.shape[-1]), self.size, *self.padded)
        if any(self.shift):
            x = torch.roll(x, self.shift, dims=(1, 2))
        if self.padded != self.grid:
            x = x[:, : self.grid[0], : self.grid[1]]
        return x

    def separation(self, device: torch.device, *, of_padding: bool) -> torch.Tensor | None:
        """Bias that separates tokens of a window that must not attend to each other.

        Args:
            device: Device of the result.
            of_padding: Separate padding too, not only regions that the cyclic shift joins.

        Returns:
            (windows, tokens, tokens) float32, 0 within a region of the map and -100 across;
            None where every window lies in one region.

        Source: Swin, arXiv:2103.14030, section 3.2. mmdet's Swin lets padding take part.
        """
        of_padding = of_padding and self.padded != self.grid
        if not any(self.shift) and not of_padding:
            return None
        rows, cols = (torch.arange(side, device=device) for side in self.padded)
        # A wrapped row or column is one that the roll moves past the end of the map.
        region = (rows < self.shift[0]).int()[:, None] + 2 * (cols < self.shift[1]).int()
        if of_padding:
            region += 4 * ((rows >= self.grid[0])[:, None] | (cols >= self.grid[1])).int()
        tokens = replace(self, grid=self.padded).cut(region[None, ..., None])[0, ..., 0]
        return (tokens[:, :, None] != tokens[:, None, :]).float() * MASKED_LOGIT


def fit_windows(grid: tuple[int, int], window_size: int, shifted: bool) -> Windows:
    """The windows of a map; none is larger than the map.

    Along a side that is not longer than the window, the window shrinks to the side and nothing
    is shifted (for square maps the rule of UM-MAE's and Swin's classification code).

    Args:
        grid: Feature map as (rows, cols).
        window_size: Wanted side of a window in tokens.
        shifted: Whether this block shifts by half a window.
    """
    rows, cols = (min(window_size, side) for side in grid)
    shift = [
        w // 2 if shifted and side > window_size else 0
        for side, w in zip(grid, (rows, cols), strict=True)
    ]
    return Windows(grid, (rows, cols), tuple(shift))


def offset_index(
    window: tuple[int, int], reach: tuple[int, int], device: torch.device
) -> torch.Tensor:
    """Index of the offset between two tokens of a window among all offsets of a window.

    Args:
        window: (rows, cols), not larger than ``reach``.
        reach: (h, w) of the window whose (2h - 1) * (2w - 1) offsets are numbered, row by row.
        device: Device of the result.

    Returns:
        (tokens, tokens) int64 from (query, key), for the offset key - query; its transpose is
        for query - key, as Swin's table of relative positions has it.
    """
    place = torch.arange(window[0] * window[1], device=device)
    rows, cols = place // window[1], place % window[1]
    rows, cols = rows - rows[:, None], cols - cols[:, None]  # key - query
    return (rows + reach[0] - 1) * (2 * reach[1] - 1) + cols + reach[1] - 1


def look_up_bias(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The biases of all pairs: a table (T, heads) and int64 (...) into it -> (heads, ...)."""
    heads = table.shape[1]
    # The gradient of this gather is several times as fast as that of table[index].
    return table.t().gather(1, index.reshape(1, -1).expand(heads, -1)).reshape(heads, *index.shape)


class WindowLayout(Protocol):
    """Interface: cutting the tokens of a stage into windows, and the bias of their pairs."""

    def cut(self, x: torch.Tensor) -> torch.Tensor:
        """Cut tokens (B, ..., C) into windows (B, windows, tokens, C)."""

    def join(self, x: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`cut`."""

    def bias(self, table: torch.Tensor) -> torch.Tensor:
        """Bias of a table (T, heads): (B or 1, windows or 1, heads, tokens, tokens)."""


@dataclass(frozen=True)
class MapLayout:
    """The :class:`WindowLayout` of a map (B, rows, cols, C).

    Attributes:
        windows: How the map is cut.
        index: int64 from (query, key) into a table: (1, 1, tokens, tokens), or
            (B, windows, tokens, tokens) where every image has its own places.
        separation: (windows, tokens, tokens) of 0 and -100, or None.
    """

    windows: Windows
    index: torch.Tensor
    separation: torch.Tensor | None

    def cut(self, x: torch.Tensor) -> torch.Tensor:
        """See :meth:`Windows.cut`."""
        return self.windows.cut(x)

    def join(self, x: torch.Tensor) -> torch.Tensor:
        """See :meth:`Windows.join`."""
        return self.windows.join(x)

    def bias(self, table: torch.Tensor) -> torch.Tensor:
        """See :meth:`WindowLayout.bias`."""
        bias = look_up_bias(table, self.index).permute(1, 2, 0, 3, 4)
        return bias if self.separation is None else bias + self.separation[None, :, None]


class ShiftedWindows(BaseModule):
    """Attention of a block within its windows, shifted or not; keeps mmpretrain's key ``w_msa``.

    Args:
        w_msa: Attention of windows (B, windows, tokens, C), called with them and their layout.
        shifted: Whether the block shifts its windows.
    """

    def __init__(self, w_msa: nn.Module, *, shifted: bool) -> None:
        super().__init__()
        self.shifted = shifted
        self.w_msa = w_msa

    def forward(self, x: torch.Tensor, layouts: Sequence[WindowLayout]) -> torch.Tensor:
        """Attention of tokens (B, ..., C); ``layouts``: without and with shift."""
        layout = layouts[int(self.shifted)]
        return layout.join(self.w_msa(layout.cut(x), layout))


def attend_in_windows(qkv: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Multi-head self-attention within windows, with a bias of all pairs of tokens.

    Args:
        qkv: (B, windows, tokens, 3 C): queries, keys and values, each head after head.
        bias: (B or 1, windows or 1, heads, tokens, tokens), in any floating type.

    Returns:
        (B, windows, tokens, C).
    """
    b, windows, tokens, _ = qkv.shape
    heads, bias = bias.shape[2], bias.to(qkv.dtype)
    qkv = qkv.reshape(b, windows, tokens, 3, heads, -1)
    if len(bias) == b or bias.shape[1] == 1:
        # Windows join the batch: queries, keys and values stay where they are.
        q, k, v = qkv.flatten(0, 1).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.flatten(0, 1))
        return x.transpose(1, 2).reshape(b, windows, tokens, -1)
    # Windows join the heads, so that a bias that images share is never copied for each.
    q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).flatten(2, 3)
    x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.flatten(1, 2))
    return x.unflatten(1, (windows, heads)).transpose(2, 3).reshape(b, windows, tokens, -1)
