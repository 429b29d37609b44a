"""Vision transformers of Hugging Face's transformers: ViT, BEiT, data2vec, ViTMAE, DINOv2."""

import re
from collections.abc import Mapping
from dataclasses import replace

import torch

from mim_bench.conversion.files import SIDECAR
from mim_bench.conversion.huggingface_keys import LAYER_PARTS, PARTS_OF_QKV, check_settings
from mim_bench.conversion.key_table import Converted, KeyTable, Rules
from mim_bench.conversion.relative_index import INDEX, TABLE
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.timm_models import TimmModel, vit_args
from mim_bench.conversion.vit_keys import ENDING, MLP_PARTS, block_rule
from mim_bench.errors import ConversionError

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
        r'backbone.layers.\1.attn.\2.\3',
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


def detect(state: StateDict, content: Mapping) -> Fit:
    """Queries, keys and values apart, under these names."""
    layer = 'encoder.layer.0.attention.attention.query.weight'
    known = any(prefix + layer in state for prefix in _PREFIXES)
    return Fit.MARK if known else Fit.NO


def rename(state: StateDict, where: str) -> Converted:
    """Rename the keys and put queries, keys and values together."""
    converted = KeyTable('huggingface', _RULES).apply(state, where)
    return replace(converted, backbone=_joined(converted.backbone, where))


def _joined(state: StateDict, where: str) -> dict[str, torch.Tensor]:
    """``attn.query``, ``attn.key``, ``attn.value`` to ``attn.qkv``, or ``q_bias``, ``v_bias``."""
    joined: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        match = re.fullmatch(rf'(.+\.attn\.)({"|".join(PARTS_OF_QKV)})\.(weight|bias)', key)
        if match is None:
            joined[key] = value
            continue
        attention, part, leaf = match.groups()
        parts = [state.get(f'{attention}{name}.{leaf}') for name in PARTS_OF_QKV]
        if all(tensor is not None for tensor in parts):
            if part == 'query':
                joined[f'{attention}qkv.{leaf}'] = torch.cat(parts)
        elif leaf == 'bias' and part != 'key':  # BEiT has no bias of keys
            joined[f'{attention}{part[0]}_bias'] = value
        else:
            raise ConversionError(
                f'{where}: lacks query, key or value of {attention}qkv.{leaf}. Fetch the file '
                'again.'
            )
    return joined


# From canonical names to timm's.
_TO_TIMM = (
    (r'backbone\.layers\.(\d+)\.attn\.(qkv|proj)', r'blocks.\1.attn.\2'),
    (r'backbone\.layers\.(\d+)\.ln([12])', r'blocks.\1.norm\2'),
    (r'backbone\.layers\.(\d+)\.gamma_([12])', r'blocks.\1.ls\2.gamma'),
    (r'backbone\.layers\.(\d+)\.ffn\.layers\.0\.0', r'blocks.\1.mlp.fc1'),
    (r'backbone\.layers\.(\d+)\.ffn\.layers\.1', r'blocks.\1.mlp.fc2'),
    (r'backbone\.patch_embed\.projection', 'patch_embed.proj'),
    (r'backbone\.ln1', 'norm'),
    (r'backbone\.', ''),
)


def network(
    state: StateDict, content: Mapping, where: str
) -> tuple[TimmModel, dict[str, torch.Tensor]] | None:
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
    weights = _renamed(rename(left, where).backbone)
    for key, value in state.items():
        if match := _GATED.search(key):
            part = {'weights_in': 'fc1', 'weights_out': 'fc2'}[match[2]]
            weights[f'blocks.{match[1]}.mlp.{part}.{match[3]}'] = value
    settings = content.get(SIDECAR) or {}
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


def _renamed(backbone: StateDict) -> dict[str, torch.Tensor]:
    names = {}
    for key, value in backbone.items():
        pattern, target = next(r for r in _TO_TIMM if re.match(r[0], key))
        names[re.sub(pattern, target, key, count=1)] = value
    return {k: v for k, v in names.items() if k != 'mask_token'}


def method_of(state: StateDict) -> str | None:
    """MAE for files with its decoder; other networks are those of several methods."""
    return 'mae' if 'decoder.decoder_embed.weight' in state else None


_EXTRA = re.compile(r'embeddings\.register_tokens|\.mlp\.weights_(?:in|out)\.')
_GATED = re.compile(r'encoder\.layer\.(\d+)\.mlp\.(weights_in|weights_out)\.(weight|bias)')

SOURCE = Source(name='huggingface', detect=detect, rename=rename, network=network, method=method_of)
