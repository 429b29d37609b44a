"""Fits the position tables of a checkpoint to the vision transformer that loads it."""

import math
import re
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from mim_bench.conversion.resizing.position_embedding import (
    resize_position_embedding,
    square_side,
)
from mim_bench.conversion.resizing.relative_bias import (
    INDEX,
    SHARED_TABLE,
    expand_shared_table,
    num_table_rows,
    resize_offsets,
    resize_relative_bias,
    square_table_grid,
)
from mim_bench.errors import CheckpointError
from mim_bench.models.layers.base import refuse_others
from mim_bench.models.layers.relative_bias import AxisTables, BiasTable

Weights = dict[str, torch.Tensor]
Grid = tuple[int, int]

WINDOW_TABLE = 'window_rel_pos_bias.relative_position_bias_table'
AXIS_TABLES = ('rel_pos_h', 'rel_pos_w')
_BLOCK = r'layers\.\d+\.'
_PREFIX_TOKENS = ('cls_token', 'dist_token')  # their rows precede those of the patches
_GRID = 'grid'  # in the metadata of a state dict


def save_grid(backbone: nn.Module, state: Weights, prefix: str, metadata: dict) -> None:
    """State-dict hook that stores the grid of the tables in the metadata."""
    metadata[_GRID] = backbone.grid


def fit_loaded_weights(
    backbone: nn.Module, state: Weights, prefix: str, metadata: dict, *_: object
) -> None:
    """Load hook that resizes the positions of a state dict to the network's sizes.

    Tables are resized, a shared table is copied to every block of a network with a table in each,
    and index buffers are dropped. For a network without class token, that token and its rows in the
    tables are dropped. Names of changed weights are stored in ``backbone.resized_keys``.

    Args:
        backbone: A :class:`~mim_bench.models.backbones.vit.ViT`.
        state: All weights; changed in place.
        prefix: Prefix of the backbone's keys.
        metadata: The backbone's metadata in the state dict.

    Raises:
        CheckpointError: The file has biases, layer scales or positions of a kind that the
            network does not have; or the grid of its tables cannot be determined.
    """
    weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    backbone.resized_keys = []
    if not weights:
        return
    for name in weights:
        del state[prefix + name]
    weights = {k: v for k, v in weights.items() if not k.endswith(INDEX)}
    weights |= {k: v for k, v in backbone.named_buffers() if k.endswith(INDEX)}
    _check_kinds(backbone, weights)
    refuse_others(backbone, weights, backbone.state_dict())
    num_prefix = sum(name in weights for name in _PREFIX_TOKENS)
    # A grid that the file states has precedence over the config's.
    grids = [g for g in (metadata.get(_GRID), backbone.checkpoint_grid) if g is not None]
    if backbone.rel_pos_bias_kind == 'per_block':
        weights = expand_shared_table(weights, backbone.num_layers)
    if backbone.cls_token is None:
        weights.pop('cls_token', None)
    given = dict(weights)
    if backbone.abs_pos == 'zeros' and 'pos_embed' not in weights:
        # The recipe adds positions to a network that was trained without them.
        weights['pos_embed'] = torch.zeros_like(backbone.pos_embed)
    weights |= _neutral_parts(backbone, weights)
    fitted = weights | _fitted_embedding(backbone, weights, num_prefix, grids)
    fitted |= _fitted_tables(backbone, weights, grids)
    backbone.resized_keys = [name for name, value in fitted.items() if given.get(name) is not value]
    state.update({prefix + name: value for name, value in fitted.items()})


def _neutral_parts(backbone: nn.Module, weights: Weights) -> Weights:
    """Neutral values of parts that a recipe adds to a network with absolute positions only.

    Tables start from zeros and layer scales from ones, as in MAE's and LocalMIM's segmentation, so
    that the network computes the same as the checkpoint's.
    """
    if 'pos_embed' not in weights or not _has(weights, _BLOCK + r'attn\.qkv\.weight'):
        return {}
    own = dict(backbone.named_parameters())
    added = []
    if not _has(weights, r'(.+\.)?relative_position_bias_table'):
        added += [name for name in bias_tables(backbone) if not own[name].any()]
    if not _has(weights, _BLOCK + r'attn\.rel_pos_[hw]'):
        added += [name for name in axis_tables(backbone) if not own[name].any()]
    if not _has(weights, _BLOCK + 'gamma_1'):
        scales = [name for name in own if name.endswith(('.gamma_1', '.gamma_2'))]
        added += [name for name in scales if (own[name] == 1).all()]
    return {name: own[name].detach().clone() for name in added}


def _check_kinds(backbone: nn.Module, weights: Weights) -> None:
    """Refuse files whose weights would load but give other results."""
    own_tables = _has(weights, _BLOCK + r'attn\.relative_position_bias_table')
    if _has(weights, _BLOCK + r'attn\.qkv\.weight'):
        found = 'full' if _has(weights, _BLOCK + r'attn\.qkv\.bias') else 'none'
        found = 'qv' if _has(weights, _BLOCK + r'attn\.q_bias') else found
        if found != backbone.qkv_bias:
            raise _unfit('biases of queries, keys and values', 'qkv_bias', found, backbone.qkv_bias)
    if own_tables and backbone.rel_pos_bias_kind != 'per_block':
        raise _unfit(
            'tables of relative positions', 'rel_pos_bias', 'per_block', backbone.rel_pos_bias_kind
        )
    kind = backbone.rel_pos_bias_kind
    if _has(weights, _BLOCK + r'attn\.rel_pos_[hw]') and kind != 'decomposed':
        raise _unfit('relative positions of rows and columns', 'rel_pos_bias', 'decomposed', kind)
    if SHARED_TABLE in weights and kind in ('none', 'decomposed'):
        raise _unfit('a table of relative positions', 'rel_pos_bias', 'shared', kind)
    if 'pos_embed' in weights and backbone.pos_embed is None:
        raise _unfit('absolute positions', 'abs_pos', 'learned', 'none')
    if _has(weights, _BLOCK + 'gamma_1') and backbone.layers[0].gamma_1 is None:
        raise _unfit('layer scales', 'layer_scale', 'a number', 'None')


def _has(names: Iterable[str], pattern: str) -> bool:
    return any(re.fullmatch(pattern, name) for name in names)


def _unfit(what: str, setting: str, found: str, own: str) -> CheckpointError:
    return CheckpointError(
        f'The checkpoint has {what} as a ViT with {setting}={found!r}, but the network was built '
        f'with {setting}={own!r}. Build it as the checkpoint is (mim-bench inspect shows it).'
    )


def _fitted_embedding(
    backbone: nn.Module, weights: Weights, num_prefix: int, grids: Sequence[Grid]
) -> Weights:
    """The absolute positions, with as many prefix rows as the network has.

    Args:
        backbone: The network.
        weights: Weights of the file.
        num_prefix: Prefix tokens of the file.
        grids: Grids that the file or the config names.
    """
    table = weights.get('pos_embed')
    if table is None:
        return {}
    wanted, num_rows = backbone.num_prefix_tokens, table.shape[1]
    # A table may have rows for prefix tokens that the file lacks, or none for those it has.
    source = next((g for g in grids if 0 <= num_rows - math.prod(g) <= len(_PREFIX_TOKENS)), None)
    if source is None:
        _check_named(backbone, num_rows, 'pos_embed')
        num_patches = num_rows - num_prefix
        source = _unnamed_grid(
            backbone.grid,
            fits_own=num_patches == math.prod(backbone.grid),
            fits_square=square_side(num_patches) is not None,
            what=f'pos_embed of {num_rows} rows, {num_prefix} of them for prefix tokens,',
        )
    else:
        num_prefix = num_rows - math.prod(source)
    resized = resize_position_embedding(
        table,
        backbone.grid,
        num_prefix=num_prefix,
        source_grid=source,
        **{'recompute_sincos': backbone.recompute_positions, **backbone.pos_resize},
    )
    if resized is table and num_prefix == wanted:
        return {}
    # A class token without a row gets a row of zeros, as in MAE's tables.
    missing = table.new_zeros(1, max(wanted - num_prefix, 0), table.shape[2])
    prefix = resized[:, : min(num_prefix, wanted)]
    return {'pos_embed': torch.cat((prefix, missing, resized[:, num_prefix:]), dim=1)}


def _unnamed_grid(own: Grid, *, fits_own: bool, fits_square: bool, what: str) -> Grid | None:
    """Infer the grid of a table that neither the file nor the config states; None: a square.

    Raises:
        CheckpointError: Both a square and the network's grid, which is no square, fit.
    """
    if not fits_own or own[0] == own[1]:
        return None
    if fits_square:
        raise CheckpointError(
            f"The checkpoint's {what} fits a square grid and the network's, {own}. Name the grid "
            'that it was made for: checkpoint_grid=(rows, cols) of the backbone.'
        )
    return own


def _check_named(backbone: nn.Module, num_rows: int, name: str) -> None:
    if backbone.checkpoint_grid is not None:
        raise CheckpointError(
            f"The checkpoint's {name} has {num_rows} rows, which is no table of "
            f'checkpoint_grid={backbone.checkpoint_grid}. Name the grid that it was made for.'
        )


def _fitted_tables(backbone: nn.Module, weights: Weights, grids: Sequence[Grid]) -> Weights:
    """The tables of relative positions, for windows and for the whole grid."""
    fitted = {}
    for name, expansion in bias_tables(backbone).items():
        # Pre-training has one table for the whole grid, from which that of the windows starts too.
        table = weights.get(name, weights.get(SHARED_TABLE) if name == WINDOW_TABLE else None)
        if table is None:
            continue
        resized = resize_relative_bias(
            table,
            expansion.grid,
            source_grid=_table_grid(expansion, len(table), grids),
            interpolation=expansion.interpolation,
            class_rows=expansion.class_rows,
        )
        if resized is not weights.get(name):
            fitted[name] = resized
    for name, num_rows in axis_tables(backbone).items():
        if name in weights and len(weights[name]) != num_rows:
            fitted[name] = resize_offsets(weights[name], num_rows)
    return fitted


def _table_grid(expansion: BiasTable, num_rows: int, grids: Sequence[Grid]) -> Grid | None:
    """The grid of a table; None: the square one."""

    def fits(grid: Grid) -> bool:
        return num_rows in (num_table_rows(grid, class_rows=c) for c in (False, True))

    for grid in grids:
        if fits(grid):
            return grid
    return _unnamed_grid(
        expansion.grid,
        fits_own=fits(expansion.grid),
        fits_square=square_table_grid(num_rows) is not None,
        what=f'table of {num_rows} relative positions',
    )


def bias_tables(backbone: nn.Module) -> dict[str, BiasTable]:
    """All tables of relative positions of a network: parameter name and layout."""
    return {
        f'{name}.relative_position_bias_table': part.bias
        for name, part in backbone.named_modules()
        if isinstance(getattr(part, 'bias', None), BiasTable)
    }


def axis_tables(backbone: nn.Module) -> dict[str, int]:
    """All tables of relative positions along one axis: parameter name and rows."""
    return {
        f'{name}.{table}': len(getattr(part, table))
        for name, part in backbone.named_modules()
        if isinstance(getattr(part, 'bias', None), AxisTables)
        for table in AXIS_TABLES
    }
