"""The index that spreads a table of relative positions over pairs of tokens."""

import functools
from collections.abc import Mapping

import torch

from mim_bench.conversion.resizing.relative_bias import CLASS_ROWS, num_table_rows, table_grid
from mim_bench.errors import ConversionError

TABLE = 'relative_position_bias_table'
INDEX = 'relative_position_index'


@functools.lru_cache(maxsize=8)
def relative_position_index(grid: tuple[int, int], *, class_token: bool) -> torch.Tensor:
    """The row of the table for each pair (query, key) of tokens.

    Args:
        grid: (rows, cols) of tokens, in raster order.
        class_token: Whether a class token stands first.

    Returns:
        (L, L) int64, L = rows * cols (+ 1). Do not write into it.

    Source: Swin, arXiv:2103.14030; BEiT, arXiv:2106.08254, for the class token.
    """
    row, col = torch.meshgrid(*map(torch.arange, grid), indexing='ij')
    places = torch.stack((row.flatten(), col.flatten()))
    down, right = places[:, :, None] - places[:, None, :]
    index = (down + grid[0] - 1) * (2 * grid[1] - 1) + right + grid[1] - 1
    if not class_token:
        return index
    first = num_table_rows(grid, class_rows=True) - CLASS_ROWS
    index = torch.nn.functional.pad(index, (1, 0, 1, 0), value=first)
    index[1:, 0] = first + 1
    index[0, 0] = first + 2
    return index


def with_indices(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give every table the index that mmpretrain's classes store beside it.

    Sources disagree on storing it, so the same weights would give different files. The table
    of a grid that is not square keeps what its file has.
    """
    indexed = dict(state)
    for key in state:
        if key.endswith(TABLE):
            try:
                grid, class_token = table_grid(len(state[key]))
            except ConversionError:
                continue
            index = relative_position_index(grid, class_token=class_token)
            indexed[key.removesuffix(TABLE) + INDEX] = index.clone()
    return indexed
