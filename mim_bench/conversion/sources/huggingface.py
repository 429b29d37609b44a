"""Vision transformers of Hugging Face's transformers: ViT, BEiT, data2vec, ViTMAE, DINOv2."""

import re
from collections.abc import Mapping
from dataclasses import replace

import torch

from mim_bench.conversion.exports import vit_names
from mim_bench.conversion.huggingface_keys import (
    LAYER_PARTS,
    PARTS_OF_QKV,
    check_settings,
    hub_settings,
    joined_qkv,
)
from mim_bench.conversion.key_table import Converted, KeyTable, Rules
from mim_bench.conversion.resizing.relative_bias import INDEX, TABLE
from mim_bench.conversion.source import Fit, Network, Source, StateDict
from mim_bench.conversion.timm_models import TimmModel, vit_args
from mim_bench.conversion.vit_keys import ENDING, MLP_PARTS, block_rule

_PREFIXES = ('', 'vit.', 'beit.', 'data2vec_vision.', 'dinov2.', 'dinov2_with_registers.')
_PREFIX = rf'(?:{"|".join(map(re.escape, _PREFIXES[1:]))})?'
_LAYER = rf'{_PREFIX}encoder\.layer\.(\d+)'
_ATTENTION = r'attention\.attention'
_BIAS = r'relative_position_bias'
_RULES: Rules = (
    (rf'{_PREFIX}embeddings\.(cls_token|mask_token)', r'backbone.\1'),
    (rf'{_PREFIX}embeddings\.position_embeddings', 'backbone.pos_embed'),
    (
        rf'{_PREFIX}embeddings\.patch_embeddings\.projection{ENDING}',
        r'backbone.patch_embed.projection.\1',
    ),
    block_rule(_LAYER, 'backbone.layers.{}', {v: k for k, v in LAYER_PARTS.items()}),
    (
        rf'{_LAYER}\.{_ATTENTION}\.({"|".join(PARTS_OF_QKV)}){ENDING}',
        lambda layer, part, leaf: f'backbone.layers.{layer}.attn.{part[0]}_proj.{leaf}',
    ),
    (rf'{_LAYER}\.lambda_([12])', r'backbone.layers.\1.gamma_\2'),
    # DINOv2's names.
    block_rule(_LAYER, 'backbone.layers.{}', {'norm1': 'ln1', 'norm2': 'ln2', **MLP_PARTS}),
    (rf'{_LAYER}\.layer_scale([12])\.lambda1', r'backbone.layers.\1.gamma_\2'),
    (r'decoder\..+', None),  # ViTMAE's
    (rf'{_LAYER}\.{_ATTENTION}\.{_BIAS}\.({TABLE}|{INDEX})', r'backbone.layers.\1.attn.\2'),
    (rf'{_PREFIX}encoder\.{_BIAS}\.({TABLE}|{INDEX})', r'backbone.rel_pos_bias.\1'),
    (rf'{_PREFIX}layernorm{ENDING}', r'backbone.ln1.\1'),
    (rf'{_PREFIX}pooler\.layernorm{ENDING}', r'backbone.ln2.\1'),
    (rf'{_PREFIX}pooler\.dense{ENDING}', None),  # not part of the pre-trained encoder
    (rf'classifier{ENDING}', r'head.fc.\1'),
    (rf'lm_head{ENDING}', r'head.cls_head.\1'),
)


def _detect(state: StateDict, content: Mapping) -> Fit:
    """Queries, keys and values apart, under these names."""
    layer = 'encoder.layer.0.attention.attention.query.weight'
    known = any(prefix + layer in state for prefix in _PREFIXES)
    return Fit.MARK if known else Fit.NO


def _rename(state: StateDict, where: str) -> Converted:
    """Rename the keys and put queries, keys and values together."""
    converted = KeyTable('huggingface', _RULES).apply(state, where)
    return replace(converted, backbone=joined_qkv(converted.backbone, where, apart=True))


def _network(state: StateDict, content: Mapping, where: str) -> Network | None:
    """The network of timm of a DINOv2; None for the others."""
    registers = next(
        (v for k, v in state.items() if k.endswith('embeddings.register_tokens')), None
    )
    gated = any('.mlp.weights_in.' in key for key in state)
    is_dinov2 = registers is not None or any('.layer_scale1.' in key for key in state)
    check_settings(content, where, activation='gelu', eps=1e-6 if is_dinov2 else None)
    if not is_dinov2:
        return None
    left = {k: v for k, v in state.items() if not _EXTRA.search(k)}
    weights = dict(vit_names(_rename(left, where).backbone, where))
    for key, value in state.items():
        if match := _GATED.search(key):
            part = {'weights_in': 'fc1', 'weights_out': 'fc2'}[match[2]]
            weights[f'blocks.{match[1]}.mlp.{part}.{match[3]}'] = value
    settings = hub_settings(content)
    hidden, heads = len(weights['blocks.0.mlp.fc1.weight']), settings.get('num_attention_heads')
    args = vit_args(weights, where, num_prefix=1, hidden=hidden, num_heads=heads)
    assumed = () if heads else ('num_heads',)
    name = 'vit_giant_patch14' if gated else 'vit_small_patch14'
    if registers is None:
        return TimmModel(f'{name}_dinov2', args, {'antialias': False}, assumed), weights
    # timm's loader takes the official names: it folds the position of the class token into it.
    weights |= {'register_tokens': registers, 'mask_token': torch.zeros(1, 1)}
    args['reg_tokens'] = registers.shape[1]
    return TimmModel(f'{name}_reg4_dinov2', args, assumed=assumed), weights


def _method(state: StateDict) -> str | None:
    """MAE for files with its decoder; other networks are those of several methods."""
    return 'mae' if 'decoder.decoder_embed.weight' in state else None


_EXTRA = re.compile(r'embeddings\.register_tokens|\.mlp\.weights_(?:in|out)\.')
_GATED = re.compile(r'encoder\.layer\.(\d+)\.mlp\.(weights_in|weights_out)\.(weight|bias)')

SOURCES = (
    Source(
        name='huggingface',
        detect=_detect,
        rename=_rename,
        network=_network,
        method=_method,
        bias_interpolation='bilinear',
    ),
)
