"""Fitting the positions of a checkpoint to a vision transformer that loads it."""

import math
import re
from collections.abc import Iterable

import torch
from torch import nn

from mim_bench.conversion.resizing.position_embedding import (
    resize_position_embedding,
    split_prefix,
)
from mim_bench.conversion.resizing.relative_bias import (
    SHARED_TABLE,
    expand_shared_table,
    num_table_rows,
    resize_relative_bias,
)
from mim_bench.errors import CheckpointError
from mim_bench.models.backbones.vit_bias import BiasExpansion
from mim_bench.models.backbones.vit_blocks import bias_tables

Weights = dict[str, torch.Tensor]
Grid = tuple[int, int]

WINDOW_TABLE = 'window_rel_pos_bias.relative_position_bias_table'
_BLOCK = r'layers\.\d+\.'
_LIKELY_PREFIXES = (0, 1, 2)  # nothing, a class token, a distillation token, too


def fit_loaded_weights(backbone: nn.Module, state: Weights, prefix: str, *_: object) -> None:
    """Hook before a state dict is loaded: brings its positions to the network's sizes.

    Tables are resized, a shared one is copied to the blocks of a network with a table a block,
    and what only says where a table's entries go is left out. A class token, and its rows in
    the tables, are left out for a network without one. The names of the weights that became
    others are put into ``backbone.resized_keys``.

    Args:
        backbone: A :class:`~mim_bench.models.backbones.vit.ViT`.
        state: All weights; changed in place.
        prefix: Of the backbone's.

    Raises:
        CheckpointError: The file has biases, layer scales or positions of a kind that the
            network does not have, so that it would compute something else; or tables whose
            grid cannot be told.
    """
    weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    backbone.resized_keys = []
    if not weights:
        return
    for name in weights:
        del state[prefix + name]
    weights = {k: v for k, v in weights.items() if not k.endswith('relative_position_index')}
    _check_kinds(backbone, weights)
    if backbone.rel_pos_bias_kind == 'per_block':
        weights = expand_shared_table(weights, backbone.num_layers)
    if backbone.cls_token is None:
        weights.pop('cls_token', None)
    given = dict(weights)
    if backbone.abs_pos == 'zeros' and 'pos_embed' not in weights:
        # A recipe that adds positions to a network that was trained without them.
        weights['pos_embed'] = torch.zeros_like(backbone.pos_embed)
    weights |= _neutral_parts(backbone, weights)
    fitted = weights | _fitted_embedding(backbone, weights) | _fitted_tables(backbone, weights)
    backbone.resized_keys = [name for name, value in fitted.items() if given.get(name) is not value]
    state.update({prefix + name: value for name, value in fitted.items()})


def _neutral_parts(backbone: nn.Module, weights: Weights) -> Weights:
    """What a recipe adds to a network that was trained with absolute positions alone.

    Tables that start from zeros and layer scales that start from ones, as in MAE's and LocalMIM's
    segmentation: with them the network computes what the checkpoint's does.
    """
    if 'pos_embed' not in weights or not _has(weights, _BLOCK + r'attn\.qkv\.weight'):
        return {}
    own = dict(backbone.named_parameters())
    added = []
    if not _has(weights, r'(.+\.)?relative_position_bias_table'):
        added += [name for name in bias_tables(backbone) if not own[name].any()]
    if not _has(weights, _BLOCK + 'gamma_1'):
        scales = [name for name in own if name.endswith(('.gamma_1', '.gamma_2'))]
        added += [name for name in scales if (own[name] == 1).all()]
    return {name: own[name].detach().clone() for name in added}


def _check_kinds(backbone: nn.Module, weights: Weights) -> None:
    """Refuse what would load in part and compute something else."""
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
    if SHARED_TABLE in weights and backbone.rel_pos_bias_kind == 'none':
        raise _unfit('a table of relative positions', 'rel_pos_bias', 'shared', 'none')
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


def _fitted_embedding(backbone: nn.Module, weights: Weights) -> Weights:
    """The absolute positions, with as many prefix rows as the network has."""
    table = weights.get('pos_embed')
    if table is None:
        return {}
    grid, wanted = backbone.grid, backbone.num_prefix_tokens
    if table.shape[1] == backbone.pos_embed.shape[1] and backbone.checkpoint_grid is None:
        return {}
    source = _embedding_grid(backbone, table.shape[1])
    resized = resize_position_embedding(table, grid, source_grid=source)
    if resized is table and resized.shape[1] == backbone.pos_embed.shape[1]:
        return {}
    prefix, patches = split_prefix(resized, grid)
    # A class token that has no row has no position: the row of zeros of MAE's tables.
    missing = table.new_zeros(1, max(wanted - prefix.shape[1], 0), table.shape[2])
    return {'pos_embed': torch.cat((prefix[:, :wanted], missing, patches), dim=1)}


def _embedding_grid(backbone: nn.Module, num_rows: int) -> Grid | None:
    """The grid of a table, None being the square that fits."""
    if backbone.checkpoint_grid is not None:
        return backbone.checkpoint_grid
    is_square = num_rows - math.isqrt(num_rows) ** 2 in _LIKELY_PREFIXES
    is_own = num_rows - math.prod(backbone.grid) in _LIKELY_PREFIXES
    return backbone.grid if is_own and not is_square else None


def _fitted_tables(backbone: nn.Module, weights: Weights) -> Weights:
    """The tables of relative positions, for windows and for the whole grid."""
    fitted = {}
    for name, expansion in bias_tables(backbone).items():
        # Pre-training has one table for the whole grid; the windows start from it, too.
        table = weights.get(name, weights.get(SHARED_TABLE) if name == WINDOW_TABLE else None)
        if table is None:
            continue
        source = _table_grid(backbone, expansion, len(table))
        resized = resize_relative_bias(
            table,
            expansion.grid,
            source_grid=source,
            interpolation=expansion.interpolation,
            class_rows=expansion.class_rows,
        )
        if resized is not weights.get(name):
            fitted[name] = resized
    return fitted


def _table_grid(backbone: nn.Module, expansion: BiasExpansion, num_rows: int) -> Grid | None:
    """The grid of a table, None being the square that fits."""
    if num_rows == expansion.num_rows and backbone.checkpoint_grid is None:
        return expansion.grid
    for grid in (backbone.checkpoint_grid, expansion.grid):
        lengths = [] if grid is None else [num_table_rows(grid, class_rows=c) for c in (0, 1)]
        if num_rows in lengths:
            return grid
    return None
