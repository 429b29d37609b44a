"""Relative position biases of a vision transformer: the table, and the bias of all pairs."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

from mim_bench.conversion.resizing.relative_bias import (
    CLASS_ROWS,
    fit_relative_bias,
    num_table_rows,
)
from mim_bench.models.backbones.derived_table import DerivedTable

# Above, the bias of a block is made again for every batch: it costs less than the attention that
# reads it, and all blocks together would fill the memory.
MOST_KEPT_BYTES = 2**26


Grid = tuple[int, int]


class BiasExpansion(nn.Module):
    """The bias of all pairs of tokens from a table; kept while a network is only evaluated.

    It has neither parameters nor keys; the table belongs to who calls it.

    Args:
        grid: (rows, cols) that the table is made for.
        class_rows: Whether the table has the rows of a class token, and the bias its pairs.
        interpolation: How the table is fitted to larger grids, 'geometric' or 'bicubic'; see
            :func:`~mim_bench.conversion.resizing.relative_bias.fit_relative_bias`.
    """

    def __init__(self, grid: Grid, *, class_rows: bool, interpolation: str) -> None:
        super().__init__()
        self.grid, self.class_rows, self.interpolation = tuple(grid), class_rows, interpolation
        self.kept = DerivedTable()

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return num_table_rows(self.grid, class_rows=self.class_rows)

    def forward(self, table: torch.Tensor, grids: Sequence[Grid]) -> tuple[torch.Tensor, ...]:
        """Expand.

        Args:
            table: (rows, heads).
            grids: (rows, cols) of each bias that is wanted.

        Returns:
            For each grid (1, heads, L, L), L counting a class token; of the table's type, or
            of autocast's where that is on.
        """
        device = table.device.type
        dtype = table.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)

        def make() -> tuple[torch.Tensor, ...]:
            return tuple(self._expand(table, grid, dtype) for grid in grids)

        tokens = [rows * cols + int(self.class_rows) for rows, cols in grids]
        num_bytes = sum(n * n for n in tokens) * table.shape[1] * dtype.itemsize
        if num_bytes > MOST_KEPT_BYTES:
            return make()
        return self.kept((table,), (tuple(grids), dtype), make)

    def _expand(self, table: torch.Tensor, grid: Grid, dtype: torch.dtype) -> torch.Tensor:
        table = fit_relative_bias(table, self.grid, grid, self.interpolation)
        return pair_bias(table, grid, class_rows=self.class_rows, dtype=dtype)[None]


class RelativePositionBias(BaseModule):
    """A table that blocks share.

    Args:
        num_heads: Heads.
        expansion: Of the table.
    """

    def __init__(self, num_heads: int, expansion: BiasExpansion) -> None:
        super().__init__()
        self.expansion = expansion
        self.relative_position_bias_table = nn.Parameter(torch.zeros(expansion.num_rows, num_heads))

    def forward(self, grids: Sequence[Grid]) -> tuple[torch.Tensor, ...]:
        """The bias (1, heads, L, L) of each grid."""
        return self.expansion(self.relative_position_bias_table, grids)


def pair_bias(
    table: torch.Tensor, grid: Grid, *, class_rows: bool, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """The bias of all pairs of tokens.

    Args:
        table: (rows, heads), a row for every offset (query - key) in raster order; then, with
            ``class_rows``, class to patches, patches to class, class to class.
        grid: (rows, cols).
        class_rows: Put a class token before the patches.
        dtype: Of the result; None: of the table.

    Returns:
        (heads, L, L): from (query, key).
    """
    (rows, cols), dtype = grid, dtype or table.dtype
    offsets = table[:-CLASS_ROWS] if class_rows else table
    maps = offsets.t().unflatten(1, (2 * rows - 1, 2 * cols - 1))
    # From (column offset) to (column of the query, of the key); small against the result.
    maps = maps.unfold(2, cols, 1).flip(1, 3).to(dtype)
    bias = _RowPairs.apply(maps).flatten(3, 4).flatten(1, 2)
    if not class_rows:
        return bias
    last = table[-CLASS_ROWS:].to(dtype)
    to_patches, to_class, within = last[:, :, None, None]  # each (heads, 1, 1)
    bias = torch.cat((to_class.expand(-1, rows * cols, -1), bias), dim=2)
    first = torch.cat((within, to_patches.expand(-1, -1, rows * cols)), dim=2)
    return torch.cat((first, bias), dim=1)


class _RowPairs(torch.autograd.Function):
    """From row offsets to rows of queries and keys, by copies of blocks.

    An index of all pairs, as a gather needs it, holds 134 MB at 4096 tokens, for every grid.
    """

    @staticmethod
    def forward(ctx, maps):
        """(heads, offsets from the largest, cols, cols) -> (heads, rows, cols, rows, cols)."""
        ctx.shape, rows = maps.shape, _num_rows(maps.shape)
        blocks = [maps[:, _block(i, rows)].transpose(1, 2) for i in range(rows)]
        return torch.stack(blocks, dim=1)

    @staticmethod
    def backward(ctx, grad):
        rows = _num_rows(ctx.shape)
        # An entry sums up as many numbers as there are rows: too many for half precision.
        total = grad.new_zeros(ctx.shape, dtype=torch.promote_types(grad.dtype, torch.float32))
        for i in range(rows):
            total[:, _block(i, rows)] += grad[:, i].transpose(1, 2)
        return total.to(grad.dtype)


def _num_rows(shape: torch.Size) -> int:
    return (shape[1] + 1) // 2


def _block(query_row: int, rows: int) -> slice:
    """Where the offsets of a query's row to all keys stand."""
    return slice(rows - 1 - query_row, 2 * rows - 1 - query_row)
