"""Relative position biases of a vision transformer: the table, and the bias of all pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.conversion.resizing.relative_bias import (
    CLASS_ROWS,
    fit_relative_bias,
    num_table_rows,
)

Grid = tuple[int, int]
# Queries are expanded in float32 in parts of so many entries a head: gradients are summed up
# exactly without a second tensor of all pairs in memory.
_ENTRIES_AT_ONCE = 2**22
# Attention kernels of GPUs read rows of a bias from addresses that are multiples of 8 entries.
_ALIGNMENT = 8


@dataclass(frozen=True)
class BiasTable:
    """What a table of relative positions is for, and how it becomes the bias of all pairs.

    Attributes:
        grid: (rows, cols) that the table is made for.
        class_rows: Whether the table has the rows of a class token, and the bias its pairs.
        interpolation: How the table is fitted to larger grids, 'geometric' or 'bicubic'; see
            :func:`~mim_bench.conversion.resizing.relative_bias.fit_relative_bias`.
    """

    grid: Grid
    class_rows: bool
    interpolation: str

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return num_table_rows(self.grid, class_rows=self.class_rows)

    def parameter(self, num_heads: int) -> nn.Parameter:
        """A new table, zero throughout."""
        return nn.Parameter(torch.zeros(self.num_rows, num_heads))

    def expand(self, table: torch.Tensor, grids: Sequence[Grid]) -> tuple[torch.Tensor, ...]:
        """The bias of all pairs of tokens.

        Args:
            table: (rows, heads).
            grids: (rows, cols) of each bias that is wanted.

        Returns:
            For each grid (1, heads, L, L), L counting a class token; of the table's type, or
            of autocast's where that is on.
        """
        return tuple(_joined(list(self.parts(table, grid))) for grid in grids)

    def parts(self, table: torch.Tensor, grid: Grid) -> Iterator[torch.Tensor]:
        """The bias of :meth:`expand`, (1, heads, queries, L), for some queries after another.

        Attention in parts never holds the gradient of all pairs. Small grids are one part.
        """
        device, dtype = table.device.type, table.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        fitted = fit_relative_bias(table, self.grid, grid, self.interpolation)
        for part in pair_bias_parts(fitted, grid, class_rows=self.class_rows, dtype=dtype):
            yield part[None]


class RelativePositionBias(nn.Module):
    """A table that blocks share; the parameter's name is mmpretrain's."""

    def __init__(self, num_heads: int, bias: BiasTable) -> None:
        super().__init__()
        self.bias = bias
        self.relative_position_bias_table = bias.parameter(num_heads)

    def forward(self, grids: Sequence[Grid]) -> tuple[torch.Tensor, ...]:
        """The bias (1, heads, L, L) of each grid."""
        return self.bias.expand(self.relative_position_bias_table, grids)


def pair_bias(
    table: torch.Tensor, grid: Grid, *, class_rows: bool, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """The parts of :func:`pair_bias_parts` in one: (heads, L, L)."""
    return _joined(list(pair_bias_parts(table, grid, class_rows=class_rows, dtype=dtype)))


def pair_bias_parts(
    table: torch.Tensor, grid: Grid, *, class_rows: bool, dtype: torch.dtype | None = None
) -> Iterator[torch.Tensor]:
    """The bias of all pairs of tokens, without an index of all pairs.

    Args:
        table: (rows, heads), a row for every offset (query - key) in raster order; then, with
            ``class_rows``, class to patches, patches to class, class to class.
        grid: (rows, cols).
        class_rows: Put a class token before the patches.
        dtype: Of the result; None: of the table.

    Yields:
        (heads, queries, L): from (query, key), for consecutive queries. The stride of a row is
        a multiple of 8.
    """
    (rows, cols), dtype = grid, dtype or table.dtype
    offsets = table[:-CLASS_ROWS] if class_rows else table
    maps = offsets.t().unflatten(1, (2 * rows - 1, 2 * cols - 1))
    step = max(1, _ENTRIES_AT_ONCE // (rows * cols**2))
    for first in range(0, rows, step):
        height = min(step, rows - first)
        # (heads, rows and columns of queries, those of keys from the last)
        pairs = maps.narrow(1, first, height + rows - 1).unfold(1, rows, 1).unfold(2, cols, 1)
        bias = pairs.flip(3, 4).to(dtype).flatten(3, 4).flatten(1, 2)
        if class_rows:
            # The transposed views are (heads, 1): to patches, from patches, class to class.
            to_patches, to_class, within = table[-CLASS_ROWS:].to(dtype)[:, :, None, None]
            bias = torch.cat((to_class.expand(-1, height * cols, -1), bias), dim=2)
            if first == 0:
                class_row = torch.cat((within, to_patches.expand(-1, -1, rows * cols)), dim=2)
                bias = torch.cat((class_row, bias), dim=1)
        yield _aligned(bias)


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else _aligned(torch.cat(parts, dim=-2))


def _aligned(bias: torch.Tensor) -> torch.Tensor:
    """The same numbers with rows that start at multiples of 8 entries."""
    width = bias.shape[-1]
    return F.pad(bias, (0, -width % _ALIGNMENT))[..., :width]
