"""Names of BEiT's blocks, which SimMIM's ViT, ConMIM and BEiT v2 share to the last key."""

import re
from collections.abc import Mapping

import torch

from mim_bench.conversion.key_table import Rules
from mim_bench.conversion.relative_index import INDEX, TABLE
from mim_bench.conversion.vit_keys import vit_rules

SHARED = 'rel_pos_bias'
_OWN_PARTS = rf'attn\.(?:q_bias|v_bias|{TABLE}|{INDEX})|gamma_[12]'


def beit_rules(prefix: str = '') -> Rules:
    """Rules for the encoder, its last norm included; a shared table stays shared.

    Args:
        prefix: Before every key, for example ``'encoder.'``.
    """
    escaped = re.escape(prefix)
    return (
        *vit_rules(prefix),
        (rf'{escaped}blocks\.(\d+)\.({_OWN_PARTS})', r'backbone.layers.\1.\2'),
        (rf'{escaped}({SHARED}\.(?:{TABLE}|{INDEX}))', r'backbone.\1'),
    )


def is_beit(state: Mapping[str, torch.Tensor], prefix: str = '') -> bool:
    """Blocks with biases of queries and values alone, or with relative positions.

    EVA-02's have gated MLPs.
    """
    block = f'{prefix}blocks.0.attn.'
    marks = (f'{block}q_bias', f'{block}{TABLE}', f'{prefix}{SHARED}.{TABLE}')
    wanted = {f'{block}qkv.weight', f'{prefix}blocks.0.mlp.fc1.weight'}
    return wanted <= set(state) and any(mark in state for mark in marks)


def is_official_beit(state: Mapping[str, torch.Tensor]) -> bool:
    """BEiT's layout as the official repositories store it: a table comes with its index.

    timm, which has the same names, computes the index and does not store it.
    """
    tables = (f'blocks.0.attn.{TABLE}', f'{SHARED}.{TABLE}')
    return is_beit(state) and all(
        table.replace(TABLE, INDEX) in state for table in tables if table in state
    )
