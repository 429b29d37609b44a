"""Canonical weights in the layouts of timm and of Hugging Face's transformers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from mim_bench.conversion.architecture import SWIN, TIMM, VIT
from mim_bench.conversion.huggingface_keys import LAYER_PARTS, PARTS_OF_QKV
from mim_bench.conversion.key_table import Converted, KeyTable, Rules
from mim_bench.conversion.resizing.relative_bias import TABLE
from mim_bench.conversion.swin_keys import BLOCK_PARTS, COLUMN_FIRST, MERGING_PART, source_order
from mim_bench.conversion.vit_keys import ENDING, VIT_PARTS, block_rule
from mim_bench.errors import ConversionError

# timm's VisionTransformer, Beit and SwinTransformer.
_PATCHES = (rf'backbone\.patch_embed\.projection{ENDING}', r'patch_embed.proj.\1')
# Computed from the grid; what timm's models do not have.
_NOT_TIMMS: Rules = (
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
        KeyTable('canonical', (*_VIT_RULES, *_LAYER_SCALE_RULES, *_NOT_TIMMS))
        .apply(state, where)
        .rest
    )


def _to_timm(state: Mapping[str, torch.Tensor], meta: Mapping, where: str) -> Converted:
    """To timm's names, under ``rest``.

    Strictly loadable into ``vit_*`` (full bias, absolute positions), ``beit*`` (relative positions
    or biases of queries and values alone) or ``swin_*`` models with ``num_classes=0``, or as many
    classes as the head has; those of a ``TimmBackbone`` into the network of that name.

    Raises:
        ConversionError: timm has no such model.
    """
    kind, arch = meta.get('backbone_type'), meta.get('arch') or {}
    if kind == TIMM:  # timm's names already, of the network that `arch` names
        rules = ((r'backbone\.(.+)', r'\1'), *_NOT_TIMMS)
        return KeyTable('canonical', rules).apply(state, where)
    if kind == SWIN:
        return _swin(state, len(arch['depths']) - 1, where)
    if kind != VIT:
        raise ConversionError(
            f'{where}: timm has no {kind or "such backbone"}; ViT, BEiT, Swin and networks of timm '
            'can be exported. Leave --to out.'
        )
    has_biases = any(key.endswith(TABLE) for key in state)
    if has_biases and not arch['qv_bias']:
        raise ConversionError(
            f'{where}: this network has relative positions and biases of keys, which no ViT of '
            'timm has together. Leave --to out.'
        )
    own = _BEIT_RULES if arch['qv_bias'] else _LAYER_SCALE_RULES
    return KeyTable('canonical', (*_VIT_RULES, *own, *_NOT_TIMMS)).apply(state, where)


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
    converted = KeyTable('canonical', (*rules, *_NOT_TIMMS)).apply(state, where)
    rest = {
        key: source_order(value, COLUMN_FIRST) if '.downsample.' in key else value
        for key, value in converted.rest.items()
    }
    return replace(converted, rest=rest)


# transformers' ViTModel and BeitModel.
_BIAS = 'relative_position_bias'
_BLOCK = r'backbone\.layers\.(\d+)'
_LAYER = r'encoder.layer.\1'
_ATTENTION = f'{_LAYER}.attention.attention'
_HF_RULES: Rules = (
    (r'backbone\.cls_token', 'embeddings.cls_token'),
    (r'backbone\.pos_embed', 'embeddings.position_embeddings'),
    (
        rf'backbone\.patch_embed\.projection{ENDING}',
        r'embeddings.patch_embeddings.projection.\1',
    ),
    block_rule(_BLOCK, 'encoder.layer.{}', LAYER_PARTS),
    (rf'{_BLOCK}\.attn\.({"|".join(PARTS_OF_QKV)}){ENDING}', rf'{_ATTENTION}.\2.\3'),
    (rf'{_BLOCK}\.gamma_([12])', rf'{_LAYER}.lambda_\2'),
    (rf'{_BLOCK}\.attn\.({TABLE})', rf'{_ATTENTION}.{_BIAS}.\2'),
    (rf'backbone\.rel_pos_bias\.({TABLE})', rf'encoder.{_BIAS}.\1'),
    (rf'backbone\.ln1{ENDING}', r'layernorm.\1'),
    (rf'backbone\.ln2{ENDING}', r'pooler.layernorm.\1'),
    (r'.+\.relative_position_index', None),  # computed from the grid
    # The models without a task have no head; its place differs from class to class.
    (r'(?!backbone\.).+', None),
    (r'backbone\.(?:mask_token|vis_mask_token)', None),
)


def _to_huggingface(state: Mapping[str, torch.Tensor], meta: Mapping, where: str) -> Converted:
    """To the names of the model without a head, under ``rest``.

    They are ViTModel's with a full bias and absolute positions, BeitModel's with biases of queries
    and values. Set ``layer_norm_eps=1e-6`` for a ViTModel, whose own is 1e-12.

    Raises:
        ConversionError: Neither model is such a network.
    """
    arch = meta.get('arch') or {}
    if meta.get('backbone_type') != VIT:
        raise ConversionError(
            f'{where}: only a ViT can be exported to Hugging Face, not '
            f'{meta.get("backbone_type") or "this backbone"}. Leave --to out.'
        )
    extras = [key for key in ('layer_scale', 'rel_pos_bias') if arch[key] not in (False, 'none')]
    if extras and not arch['qv_bias']:
        raise ConversionError(
            f'{where}: this network has {", ".join(extras)}, which ViTModel lacks, and biases of '
            'keys, which BeitModel lacks. Leave --to out.'
        )
    return KeyTable('canonical', _HF_RULES).apply(_split_qkv(state), where)


def _split_qkv(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """``attn.qkv`` to ``attn.query``, ``attn.key``, ``attn.value``; ``attn.q_bias`` likewise."""
    names, parts = {part[0]: part for part in PARTS_OF_QKV}, {}
    for key, value in state.items():
        if match := re.fullmatch(r'(.+\.attn)\.qkv\.(weight|bias)', key):
            thirds = zip(PARTS_OF_QKV, value.chunk(3), strict=True)
            parts |= {f'{match[1]}.{name}.{match[2]}': third.clone() for name, third in thirds}
        elif match := re.fullmatch(r'(.+\.attn)\.([qv])_bias', key):
            parts[f'{match[1]}.{names[match[2]]}.bias'] = value
        else:
            parts[key] = value
    return parts


CANONICAL = 'canonical'
# Canonical weights, their meta and the file's name to the other library's names.
EXPORTS: dict[str, Callable[[Mapping[str, torch.Tensor], Mapping, str], Converted]] = {
    'timm': _to_timm,
    'huggingface': _to_huggingface,
}


def export(
    to: str, state: dict[str, torch.Tensor], meta: dict, where: str
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Bring canonical weights into another layout, a name of ``EXPORTS``, or 'canonical' for none.

    Returns:
        The weights, and the canonical keys that the layout has no place for.

    Raises:
        ConversionError: The layout is unknown, or has no model of this architecture.
    """
    if to == CANONICAL:
        return state, []
    if to not in EXPORTS:
        raise ConversionError(f'Unknown layout {to!r}. Known: {[CANONICAL, *EXPORTS]}.')
    converted = EXPORTS[to](state, meta, where)
    return converted.rest, converted.dropped
