"""ViTs and BEiTs of Hugging Face's transformers: the way back of ``--to huggingface``."""

import re
from collections.abc import Mapping
from dataclasses import replace

import torch

from mim_bench.conversion.huggingface_keys import LAYER_PARTS, PARTS_OF_QKV
from mim_bench.conversion.key_table import Converted, KeyTable, Rules
from mim_bench.conversion.relative_index import INDEX, TABLE
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.vit_keys import ENDING, block_rule
from mim_bench.errors import ConversionError

_PREFIX = r'(?:(?:vit|beit)\.)?'
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
    known = any(prefix + layer in state for prefix in ('', 'vit.', 'beit.'))
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
            raise ConversionError(f'{where}: lacks a part of {attention}qkv.{leaf}.')
    return joined


SOURCE = Source(name='huggingface', detect=detect, rename=rename)
