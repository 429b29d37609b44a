"""SimMIM's official Swin checkpoints, pre-trained."""

from collections.abc import Mapping

import torch

from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Source
from mim_bench.conversion.swin_keys import (
    COLUMN_FIRST,
    reorder_mergings,
    swin_architecture,
    swin_rules,
)

PREFIX = 'encoder.'


def detect(state: Mapping[str, torch.Tensor]) -> bool:
    """A Swin with a mask token under ``encoder.`` is this format's alone."""
    table = f'{PREFIX}layers.0.blocks.0.attn.relative_position_bias_table'
    return table in state and f'{PREFIX}mask_token' in state


def architecture(state: Mapping[str, torch.Tensor]) -> dict:
    """Sizes of the Swin in a file."""
    return swin_architecture(state, PREFIX)


def convert(state: Mapping[str, torch.Tensor], where: str) -> Converted:
    """Rename the keys to those of mmpretrain's ``SimMIM``, the decoder's too."""
    last = len(architecture(state)['depths']) - 1
    table = KeyTable(
        'simmim',
        (
            *swin_rules(PREFIX),
            (r'encoder\.mask_token', 'backbone.mask_token'),
            (r'encoder\.norm\.(weight|bias)', rf'backbone.norm{last}.\1'),
            (r'decoder\.0\.(weight|bias)', r'neck.decoder.0.\1'),
        ),
    )
    return reorder_mergings(table.apply(state, where), COLUMN_FIRST)


SOURCE = Source(
    name='simmim',
    method='simmim',
    backbone_type='mmpretrain.SwinTransformer',
    licence='MIT',
    detect=detect,
    architecture=architecture,
    convert=convert,
)
