"""Canonical weights as Hugging Face's ViTModel and BeitModel name them."""

import re
from collections.abc import Mapping

import torch

from mim_bench.conversion.architecture import VIT
from mim_bench.conversion.huggingface_keys import LAYER_PARTS, PARTS_OF_QKV
from mim_bench.conversion.key_table import Converted, KeyTable, Rules
from mim_bench.conversion.resizing.relative_bias import TABLE
from mim_bench.conversion.vit_keys import ENDING, block_rule
from mim_bench.errors import ConversionError

_BIAS = 'relative_position_bias'
_BLOCK = r'backbone\.layers\.(\d+)'
_LAYER = r'encoder.layer.\1'
_ATTENTION = f'{_LAYER}.attention.attention'
_RULES: Rules = (
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


def rename(state: Mapping[str, torch.Tensor], meta: Mapping, where: str) -> Converted:
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
            f'{meta.get("backbone_type") or "this backbone"}.'
        )
    extras = [key for key in ('layer_scale', 'rel_pos_bias') if arch[key] not in (False, 'none')]
    if extras and not arch['qv_bias']:
        raise ConversionError(
            f'{where}: ViTModel has no {", ".join(extras)}, and BeitModel has no biases of keys, '
            'so neither is this network.'
        )
    return KeyTable('canonical', _RULES).apply(_split(state), where)


def _split(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
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
