"""Tables of relative position biases: their indices, and the same tables for other grids.

A table has a row for every offset (query - key) between two tokens of a grid, in raster order
of the offsets, and a column a head. With a class token three rows follow: class to patches,
patches to class, class to class.
"""

import functools
import math
from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional as F

from mim_bench.errors import ConfigError, ConversionError

CLASS_ROWS = 3
TABLE = 'relative_position_bias_table'
INDEX = 'relative_position_index'
SHARED_TABLE = f'rel_pos_bias.{TABLE}'
BLOCK_TABLE = f'layers.{{}}.attn.{TABLE}'
# BEiT's, Swin's and transformers'.
INTERPOLATIONS = ('geometric', 'bicubic', 'bilinear')
# Where BEiT's loader looks for the ratio of the progression, and how closely.
_RATIOS = (1.01, 1.5)
_RATIO_TOLERANCE = 1e-6


def num_table_rows(grid: tuple[int, int], *, class_rows: bool) -> int:
    """Rows of the table of a grid (rows, cols)."""
    return (2 * grid[0] - 1) * (2 * grid[1] - 1) + CLASS_ROWS * class_rows


def table_grid(num_rows: int) -> tuple[tuple[int, int], bool]:
    """The square grid of a table, and whether it has the rows of a class token.

    Raises:
        ConversionError: No square grid has so many rows.
    """
    found = square_table_grid(num_rows)
    if found is None:
        raise ConversionError(
            f'A table of {num_rows} relative positions is not one of a square grid, with or '
            f'without {CLASS_ROWS} rows of a class token. Name the grid that it was made for.'
        )
    return found


def square_table_grid(num_rows: int) -> tuple[tuple[int, int], bool] | None:
    """Like :func:`table_grid`; None if no square grid has so many rows."""
    for rows, class_rows in ((num_rows, False), (num_rows - CLASS_ROWS, True)):
        side = math.isqrt(max(rows, 0))
        # The odd squares only: an offset has 2 * side - 1 values along an axis.
        if side % 2 and side * side == rows:
            return ((side + 1) // 2,) * 2, class_rows
    return None


def resize_relative_bias(
    table: torch.Tensor,
    grid: tuple[int, int],
    *,
    source_grid: tuple[int, int] | None = None,
    interpolation: str = 'geometric',
    class_rows: bool | None = None,
) -> torch.Tensor:
    """A table (rows, heads) of relative position biases for another grid or window.

    Args:
        table: Any float type; the same tensor is returned if nothing changes.
        grid: Wanted (rows, cols).
        source_grid: (rows, cols) of the table; None: the square grid that its length tells.
        interpolation: 'geometric': BEiT's, which keeps near offsets where they are and
            spreads far ones; every axis has its own ratio, and an axis that shrinks falls back
            to bicubic, since geometric spacing can only spread. 'bicubic': plain, as Swin's
            loader does between windows and Benchmarking-ViT for detection. 'bilinear': plain,
            as transformers does for BEiT.
        class_rows: Whether the result has the rows of a class token; None: as the table.
            They are taken as they are; a table without any gets zeros.

    Raises:
        ConversionError: The length of the table is not that of its grid.
        ConfigError: ``interpolation`` is unknown.

    Source: BEiT, arXiv:2106.08254, ``run_class_finetuning.py``; Swin, arXiv:2103.14030,
    ``utils.py``; Benchmarking-ViT, arXiv:2111.11429. Differs: a spline in one step for both
    axes in place of scipy's ``interp2d``, which is gone; grids need not be square.
    """
    check_interpolation(interpolation)
    source_grid, has_class_rows = _grid_of(table, source_grid)
    class_rows = has_class_rows if class_rows is None else class_rows
    if tuple(source_grid) == tuple(grid) and class_rows == has_class_rows:
        return table
    offsets = num_table_rows(source_grid, class_rows=False)
    resized = _resample(table[:offsets].float(), source_grid, grid, interpolation)
    parts = [resized.to(table)]
    if class_rows:
        last = table[offsets:] if has_class_rows else table.new_zeros(CLASS_ROWS, table.shape[1])
        parts.append(last)
    return torch.cat(parts)


def fit_relative_bias(
    table: torch.Tensor,
    source_grid: tuple[int, int],
    grid: tuple[int, int],
    interpolation: str,
) -> torch.Tensor:
    """A table for the grid of an input, as part of a network: gradients reach the table.

    Along an axis that is not longer than the table's, every offset keeps its bias and the
    farthest are left out; along a longer one the biases are interpolated. Bilinear interpolation
    stretches and shrinks every axis. Class rows of the table (rows, heads) are kept.
    """
    if tuple(source_grid) == tuple(grid):
        return table
    offsets = num_table_rows(source_grid, class_rows=False)
    near = tuple(source_grid)
    if interpolation != 'bilinear':
        near = tuple(min(g, s) for g, s in zip(grid, source_grid, strict=True))
    # An axis that grows is not cut, one that does not is not interpolated.
    maps = table[:offsets].unflatten(0, [2 * s - 1 for s in source_grid])
    for axis, (kept, source) in enumerate(zip(near, source_grid, strict=True)):
        maps = maps.narrow(axis, source - kept, 2 * kept - 1)
    fitted = maps.flatten(0, 1)
    if near != tuple(grid):
        fitted = _resample(fitted.float(), near, grid, interpolation).to(table.dtype)
    return torch.cat((fitted, table[offsets:]))


def resize_offsets(table: torch.Tensor, num_rows: int) -> torch.Tensor:
    """A table (rows, C) of offsets along one axis, interpolated linearly to 2 * patches - 1 rows.

    Gradients reach it; the same tensor is returned if there are as many rows.

    Source: MViTv2, arXiv:2112.01526; facebookresearch/detectron2@02b5c4e,
    modeling/backbone/utils.py.
    """
    if len(table) == num_rows:
        return table
    resized = F.interpolate(table.float().t()[None], num_rows, mode='linear')[0].t()
    return resized.to(table)


def expand_shared_table(
    state: Mapping[str, torch.Tensor], num_layers: int, prefix: str = ''
) -> dict[str, torch.Tensor]:
    """The table that all blocks share as a table a block, a copy each, without the shared one.

    Args:
        state: Weights under canonical names, perhaps with a shared table.
        num_layers: Blocks.
        prefix: Before the canonical names, for example ``'backbone.'``.
    """
    shared = state.get(prefix + SHARED_TABLE)
    if shared is None:
        return dict(state)
    module = prefix + SHARED_TABLE.partition('.')[0] + '.'
    expanded = {key: value for key, value in state.items() if not key.startswith(module)}
    for i in range(num_layers):
        expanded[prefix + BLOCK_TABLE.format(i)] = shared.clone()
    return expanded


def _grid_of(
    table: torch.Tensor, source_grid: tuple[int, int] | None
) -> tuple[tuple[int, int], bool]:
    if source_grid is None:
        return table_grid(len(table))
    extra = len(table) - num_table_rows(source_grid, class_rows=False)
    if extra not in (0, CLASS_ROWS):
        raise ConversionError(
            f'A table of {len(table)} relative positions is not one of a grid of '
            f'{tuple(source_grid)}, which has {len(table) - extra}, or {CLASS_ROWS} more with a '
            'class token. Name the grid that it was made for.'
        )
    return tuple(source_grid), extra == CLASS_ROWS


def _resample(
    offsets: torch.Tensor, source_grid: tuple[int, int], grid: tuple[int, int], interpolation: str
) -> torch.Tensor:
    """(source offsets, heads) -> (offsets, heads), float32."""
    source, target = ([2 * g - 1 for g in side] for side in (source_grid, grid))
    maps = offsets.t().unflatten(1, source)
    if interpolation != 'geometric':
        maps = F.interpolate(maps[None], size=target, mode=interpolation, align_corners=False)[0]
    else:
        rows, cols = (axis_weights(s, t).to(maps) for s, t in zip(source, target, strict=True))
        maps = rows @ maps @ cols.t()
    return maps.flatten(1).t()


def relative_position_index(grid: tuple[int, int], *, class_token: bool) -> torch.Tensor:
    """The row of the table for each pair (query, key) of tokens of a grid, in raster order.

    Returns:
        (L, L) int64, L = rows * cols (+ 1 for a class token, the first).

    Source: Swin, arXiv:2103.14030; BEiT, arXiv:2106.08254, for the class token.
    """
    return torch.from_numpy(_index(grid, class_token).copy())


@functools.lru_cache(maxsize=8)
def _index(grid: tuple[int, int], class_token: bool) -> np.ndarray:
    # A tensor that is kept would have the device, or the fake, of the network that is built first.
    places = np.indices(grid).reshape(2, -1)
    down, right = places[:, :, None] - places[:, None, :]
    index = (down + grid[0] - 1) * (2 * grid[1] - 1) + right + grid[1] - 1
    if class_token:
        first = num_table_rows(grid, class_rows=True) - CLASS_ROWS
        index = np.pad(index, ((1, 0), (1, 0)), constant_values=first)
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
            indexed[key.removesuffix(TABLE) + INDEX] = index
    return indexed


def check_interpolation(interpolation: str) -> None:
    """Refuse what is none of ``INTERPOLATIONS`` by a ``ConfigError``."""
    if interpolation not in INTERPOLATIONS:
        raise ConfigError(
            f'Unknown interpolation {interpolation!r} of relative positions. '
            f'Known: {", ".join(INTERPOLATIONS)}.'
        )


# scipy cannot be traced; as an operator it is compiled, also for grids of varying size.
@torch.library.custom_op('mim_bench::axis_weights', mutates_args=())
def axis_weights(source: int, target: int) -> torch.Tensor:
    """The matrix (target, source) from offsets along one axis to others, geometrically spaced.

    Fewer are interpolated bicubically. It is float64.
    """
    return _axis_weights(source, target).clone()


@axis_weights.register_fake
def _(source: int, target: int) -> torch.Tensor:
    return torch.empty(target, source, dtype=torch.float64)


@functools.lru_cache(maxsize=256)
@torch.inference_mode(False)  # a cached matrix must serve training later
def _axis_weights(source: int, target: int) -> torch.Tensor:
    if source == target:
        return torch.eye(source, dtype=torch.float64)
    if target < source:
        columns = torch.eye(source, dtype=torch.float64)[None, :, :, None]
        size = (target, 1)
        return F.interpolate(columns, size, mode='bicubic', align_corners=False)[0, ..., 0].t()
    return _spline_weights(source, target)


def geometric_ratio(source: int, target: int) -> float:
    """The ratio q of the progression that spreads ``source`` offsets over ``target``.

    The sum of q^n for n < source // 2 is target // 2. The search stays within 1.01 and 1.5,
    as the official one does: beyond, the offsets farthest away get the values of the rim.

    Source: BEiT, arXiv:2106.08254, microsoft/unilm ``beit/run_class_finetuning.py``.
    """
    low, high = _RATIOS
    ratio = low
    while high - low > _RATIO_TOLERANCE:
        ratio = (low + high) / 2
        if (1 - ratio ** (source // 2)) / (1 - ratio) > target // 2:
            high = ratio
        else:
            low = ratio
    return ratio


def _spline_weights(source: int, target: int) -> torch.Tensor:
    """Cubic spline through offsets that lie farther apart the farther out they are."""
    # Only resizing needs scipy, whose import takes a while.
    from scipy.interpolate import make_interp_spline

    powers = geometric_ratio(source, target) ** torch.arange(source // 2, dtype=torch.float64)
    outward = powers.cumsum(0)
    places = torch.cat((-outward.flip(0), torch.zeros(1, dtype=torch.float64), outward))
    wanted = torch.arange(target, dtype=torch.float64) - target // 2
    wanted = wanted.clamp(places[0], places[-1])
    degree = min(3, source - 1)
    if degree == 0:
        return torch.ones(target, 1, dtype=torch.float64)
    spline = make_interp_spline(places.numpy(), torch.eye(source).double().numpy(), k=degree)
    return torch.from_numpy(spline(wanted.numpy()))
