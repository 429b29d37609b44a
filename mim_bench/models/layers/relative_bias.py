"""Relative position biases of vision transformers: one table of all offsets, or one an axis."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.conversion.resizing.relative_bias import (
    CLASS_ROWS,
    fit_relative_bias,
    num_table_rows,
    resize_offsets,
)

Grid = tuple[int, int]
# Queries are expanded in float32 in parts of this many entries a head, so that gradients are
# summed without a second tensor of all pairs in memory.
_ENTRIES_AT_ONCE = 2**22
# Attention kernels of GPUs read rows of a bias, and of queries, keys and values, from addresses
# that are multiples of 8 entries.
_ALIGNMENT = 8


@dataclass(frozen=True)
class BiasTable:
    """The layout of a table of relative positions, and its expansion to a bias of all pairs.

    Attributes:
        grid: (rows, cols) of the table.
        class_rows: Whether table and bias include a class token.
        interpolation: Interpolation to other grids; see
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
        """A new table of zeros."""
        return nn.Parameter(torch.zeros(self.num_rows, num_heads))

    def expand(self, table: torch.Tensor, grids: Sequence[Grid]) -> tuple[torch.Tensor, ...]:
        """Expand a table to the bias of all pairs of tokens.

        Args:
            table: (rows, heads).
            grids: (rows, cols) of each bias.

        Returns:
            For each grid (1, heads, L, L), L counting a class token; of the table's type, or
            of autocast's where that is on.
        """
        return tuple(_joined(list(self.parts(table, grid))) for grid in grids)

    def parts(self, table: torch.Tensor, grid: Grid) -> Iterator[torch.Tensor]:
        """Yield the bias of :meth:`expand` in parts of the queries, (1, heads, queries, L).

        Then the gradient of all pairs is never in memory at once. Small grids are one part.
        """
        device, dtype = table.device.type, table.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        fitted = fit_relative_bias(table, self.grid, grid, self.interpolation)
        for part in _pair_bias_parts(fitted, grid, class_rows=self.class_rows, dtype=dtype):
            yield part[None]


class RelativePositionBias(nn.Module):
    """A table that all blocks share; the parameter has mmpretrain's name."""

    def __init__(self, num_heads: int, bias: BiasTable) -> None:
        super().__init__()
        self.bias = bias
        self.relative_position_bias_table = bias.parameter(num_heads)

    def forward(self, grids: Sequence[Grid]) -> tuple[torch.Tensor, ...]:
        """The bias (1, heads, L, L) of each grid."""
        return self.bias.expand(self.relative_position_bias_table, grids)


def _pair_bias_parts(
    table: torch.Tensor, grid: Grid, *, class_rows: bool, dtype: torch.dtype
) -> Iterator[torch.Tensor]:
    """Expand a table to the bias of all pairs of tokens, without an index of all pairs.

    Args:
        table: (rows, heads), a row for every offset (query - key) in raster order; then, with
            ``class_rows``, class to patches, patches to class, class to class.
        grid: (rows, cols).
        class_rows: Put a class token before the patches.
        dtype: Type of the result.

    Yields:
        (heads, queries, L): from (query, key), for consecutive queries. The stride of a row is
        a multiple of 8.
    """
    rows, cols = grid
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
    """The tensor with rows that start at multiples of 8 entries."""
    width = bias.shape[-1]
    return F.pad(bias, (0, -width % _ALIGNMENT))[..., :width]


@dataclass(frozen=True)
class AxisTables:
    """MViTv2's relative positions: one table of rows and one of columns.

    The logit of a query q and a key at the offset (down, right) is increased by
    q . rel_pos_h[down] + q . rel_pos_w[right]; q is not scaled.

    Attributes:
        grid: (rows, cols) of the tables.

    Source: MViTv2, arXiv:2112.01526; ViTDet, arXiv:2203.16527.
    """

    grid: Grid

    def parameters(self, head_dims: int) -> tuple[nn.Parameter, nn.Parameter]:
        """New tables (2 * side - 1, head_dims) of zeros, for rows and for columns."""
        rows, cols = (nn.Parameter(torch.zeros(2 * side - 1, head_dims)) for side in self.grid)
        return rows, cols

    def attend(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        tables: tuple[torch.Tensor, torch.Tensor],
        grid: Grid,
        wanted: slice | None = None,
    ) -> torch.Tensor:
        """Attention with the bias, without a bias tensor of all pairs.

        The bias of a query has one value for each row and one for each column of keys. These are
        appended to the query, and one-hot codes of row and column to the key; the product of both
        is the logit with its bias. So attention needs rows + cols more channels instead of
        (B, heads, L, L) entries and their gradient.

        Args:
            q: Queries (B, heads, L, C); tokens before those of the grid have no bias.
            k: Keys, of the same shape.
            v: Values, of the same shape.
            tables: Tables of rows and columns; interpolated where ``grid`` differs.
            grid: (rows, cols) of the tokens.
            wanted: Slice of the queries to return; all if None.

        Returns:
            (B, heads, wanted, C).
        """
        (rows, cols), head_dims = grid, q.shape[3]
        num_prefix = q.shape[2] - rows * cols
        down, right = (_vectors(t, side) for t, side in zip(tables, grid, strict=True))
        maps = q[:, :, num_prefix:].unflatten(2, grid)
        biases = torch.cat(
            (
                torch.einsum('bnrsc,rck->bnrsk', maps, down),
                torch.einsum('bnrsc,sck->bnrsk', maps, right),
            ),
            dim=4,
        ).flatten(2, 3)
        row_of = torch.eye(rows, dtype=k.dtype, device=k.device).repeat_interleave(cols, dim=0)
        col_of = torch.eye(cols, dtype=k.dtype, device=k.device).repeat(rows, 1)
        places = torch.cat((row_of, col_of), dim=1).expand(*k.shape[:2], -1, -1)
        fill = -(head_dims + rows + cols) % _ALIGNMENT
        before = (0, fill, num_prefix, 0)
        q = torch.cat((q * head_dims**-0.5, F.pad(biases, before).to(q.dtype)), dim=3)
        k = torch.cat((k, F.pad(places, before)), dim=3)
        q = q if wanted is None else q[:, :, wanted]
        # Kernels that keep no logits want values as wide as keys.
        v = F.pad(v, (0, k.shape[3] - head_dims))
        return F.scaled_dot_product_attention(q, k, v, scale=1.0)[..., :head_dims]


def _vectors(table: torch.Tensor, side: int) -> torch.Tensor:
    """Vectors of all pairs along an axis: (offsets, C) -> (side of queries, C, side of keys)."""
    return resize_offsets(table, 2 * side - 1).unfold(0, side, 1).flip(2)
