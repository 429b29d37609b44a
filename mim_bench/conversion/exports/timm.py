"""Canonical weights as timm's VisionTransformer, Beit and SwinTransformer name them."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from mim_bench.conversion.architecture import SWIN, TIMM, VIT
from mim_bench.conversion.key_table import Converted, KeyTable, Rules
from mim_bench.conversion.resizing.relative_bias import TABLE
from mim_bench.conversion.swin_keys import BLOCK_PARTS, COLUMN_FIRST, MERGING_PART, source_order
from mim_bench.conversion.vit_keys import ENDING, VIT_PARTS, block_rule
from mim_bench.errors import ConversionError

_PATCHES = (rf'backbone\.patch_embed\.projection{ENDING}', r'patch_embed.proj.\1')
# Computed from the grid; what timm's models do not have.
_DROPPED: Rules = (
    (r'.+\.relative_position_index', None),
    (r'backbone\.(?:mask_token|vis_mask_token)', None),
    (r'(?:neck|head|\w+_head|target_generator|data_preprocessor|momentum_\w+|decoder)\..+', None),
)
_VIT_RULES: Rules = (
    (r'backbone\.(cls_token|pos_embed)', r'\1'),
    _PATCHES,
    block_rule(r'backbone\.layers\.(\d+)', 'blocks.{}', {v: k for k, v in VIT_PARTS.items()}),
    (rf'backbone\.ln1{ENDING}', r'norm.\1'),
    (rf'backbone\.ln2{ENDING}', r'fc_norm.\1'),
    (rf'head\.fc{ENDING}', r'head.\1'),
)
_BEIT_RULES: Rules = (
    (rf'backbone\.layers\.(\d+)\.(attn\.(?:[qv]_bias|{TABLE})|gamma_[12])', r'blocks.\1.\2'),
    (rf'backbone\.(rel_pos_bias\.{TABLE})', r'\1'),
)
_LAYER_SCALE_RULES: Rules = ((r'backbone\.layers\.(\d+)\.gamma_([12])', r'blocks.\1.ls\2.gamma'),)


def vit_names(state: Mapping[str, torch.Tensor], where: str) -> dict[str, torch.Tensor]:
    """Canonical weights of a ViT without relative positions under the names of timm's."""
    return (
        KeyTable('canonical', (*_VIT_RULES, *_LAYER_SCALE_RULES, *_DROPPED))
        .apply(state, where)
        .rest
    )


def rename(state: Mapping[str, torch.Tensor], meta: Mapping, where: str) -> Converted:
    """To timm's names, under ``rest``.

    Strictly loadable into ``vit_*`` (full bias, absolute positions), ``beit*`` (relative positions
    or biases of queries and values alone) or ``swin_*`` models with ``num_classes=0``, or as many
    classes as the head has; those of a ``TimmBackbone`` into the network of that name.

    Raises:
        ConversionError: timm has no such model.
    """
    kind, arch = meta.get('backbone_type'), meta.get('arch') or {}
    if kind == TIMM:  # timm's names already, of the network that `arch` names
        rules = ((r'backbone\.(.+)', r'\1'), *_DROPPED)
        return KeyTable('canonical', rules).apply(state, where)
    if kind == SWIN:
        return _swin(state, len(arch['depths']) - 1, where)
    if kind != VIT:
        raise ConversionError(
            f"{where}: {kind or 'this backbone'} is none of timm's models; ViT, BEiT, Swin "
            'and networks of timm can be exported.'
        )
    has_biases = any(key.endswith(TABLE) for key in state)
    if has_biases and not arch['qv_bias']:
        raise ConversionError(
            f'{where}: timm has no ViT of these names with relative positions and biases of keys.'
        )
    own = _BEIT_RULES if arch['qv_bias'] else _LAYER_SCALE_RULES
    return KeyTable('canonical', (*_VIT_RULES, *own, *_DROPPED)).apply(state, where)


def _swin(state: Mapping[str, torch.Tensor], last: int, where: str) -> Converted:
    """A merging belongs to the stage that it opens, and orders its neighbours by columns."""
    parts = {v: k for k, v in BLOCK_PARTS.items()}
    block = r'backbone\.stages\.(\d+)\.blocks\.(\d+)'
    rules = (
        _PATCHES,
        (rf'backbone\.(patch_embed\.norm){ENDING}', r'\1.\2'),
        block_rule(block, 'layers.{}.blocks.{}', parts),
        (rf'{block}\.attn\.w_msa\.({TABLE})', r'layers.\1.blocks.\2.attn.\3'),
        (
            rf'backbone\.stages\.(\d+)\.downsample\.{MERGING_PART}',
            lambda stage, part: f'layers.{int(stage) + 1}.downsample.{part}',
        ),
        (rf'backbone\.norm{last}{ENDING}', r'norm.\1'),
        (rf'backbone\.norm\d+{ENDING}', None),  # of maps between the stages
        (rf'head\.fc{ENDING}', r'head.fc.\1'),
    )
    converted = KeyTable('canonical', (*rules, *_DROPPED)).apply(state, where)
    rest = {
        key: source_order(value, COLUMN_FIRST) if '.downsample.' in key else value
        for key, value in converted.rest.items()
    }
    return replace(converted, rest=rest)
