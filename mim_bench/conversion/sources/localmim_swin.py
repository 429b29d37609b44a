"""LocalMIM's official Swin checkpoints, pre-trained."""

from collections.abc import Mapping

import torch

from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Source
from mim_bench.conversion.swin_keys import (
    ROW_FIRST,
    reorder_mergings,
    swin_architecture,
    swin_rules,
)
from mim_bench.conversion.vit_keys import ENDING, block_rule

PREFIX = 'encoder.'


def detect(state: Mapping[str, torch.Tensor]) -> bool:
    """A Swin with a norm for each task is this format's alone."""
    keys = ('encoder.norm.0.weight', 'encoder.layers.0.blocks.0.attn.relative_position_bias_table')
    return all(key in state for key in keys)


def architecture(state: Mapping[str, torch.Tensor]) -> dict:
    """Sizes of the Swin in a file, as mmpretrain's ``SwinTransformer(arch=...)`` takes them."""
    return swin_architecture(state, PREFIX)


def convert(state: Mapping[str, torch.Tensor], where: str) -> Converted:
    """Rename the keys; merge 2x2 neighbours in the order in which the weights were trained.

    Official pre-training merges row by row, official fine-tuning and segmentation read the
    same weights column by column; see the source ``localmim-swin-official-finetune`` for that.
    """
    return convert_in_order(state, where, ROW_FIRST)


def convert_in_order(
    state: Mapping[str, torch.Tensor], where: str, neighbours: tuple[int, ...]
) -> Converted:
    """Rename the keys and bring the mergings into the order of ``nn.Unfold``.

    Args:
        state: The official weights.
        where: The file, for messages.
        neighbours: For each place of a 2x2 square in raster order, where the weights of a
            merging have it.
    """
    return reorder_mergings(_table().apply(state, where), neighbours)


def _table() -> KeyTable:
    return KeyTable(
        'localmim-swin',
        (
            *swin_rules(PREFIX),
            # The norms of the tasks stand behind the mergings: no norm of a plain Swin fits.
            (rf'encoder\.norm\.(\d+){ENDING}', r'neck.decoders.\1.norm_in.\2'),
            (r'decoder\.(\d+)\.(mask_token|pos_embed)', r'neck.decoders.\1.\2'),
            (rf'decoder\.(\d+)\.(embed|norm){ENDING}', r'neck.decoders.\1.\2.\3'),
            block_rule(r'decoder\.(\d+)\.blocks\.(\d+)', 'neck.decoders.{}.blocks.{}'),
            (rf'decoder\.(\d+)\.pred{ENDING}', r'neck.preds.\1.\2'),
            (r'hog_enc\.\d+\.conv\.weight', None),  # the fixed gradient filters
            (r'hog_enc\.(\d+)\.conv\.bias', r'head.hog_bias\1'),
        ),
    )


SOURCE = Source(
    name='localmim-swin',
    method='localmim',
    backbone_type='mmpretrain.SwinTransformer',
    licence='CC-BY-NC',  # the header of the official model file, without a version
    detect=detect,
    architecture=architecture,
    convert=convert,
)
