"""Names and channel orders of Microsoft's Swin, which several official repositories share."""

import re
from collections.abc import Mapping
from dataclasses import replace

import torch

from mim_bench.conversion.key_table import Converted, Rules, count
from mim_bench.conversion.vit_keys import ENDING, MLP_PARTS, block_rule

# The order of the 2x2 neighbours behind each other in the weights of a merging.
ROW_FIRST = (0, 1, 2, 3)
COLUMN_FIRST = (0, 2, 1, 3)  # Microsoft's own, also SimMIM's and timm's
OFFICIAL_ORDER = {'column-first': COLUMN_FIRST}

BLOCK_PARTS = {
    'norm1': 'norm1',
    'norm2': 'norm2',
    'attn.qkv': 'attn.w_msa.qkv',
    'attn.proj': 'attn.w_msa.proj',
    **MLP_PARTS,
}
MERGING_PART = r'(norm\.(?:weight|bias)|reduction\.weight)'
_MERGING = re.compile(rf'backbone\.stages\.\d+\.downsample\.{MERGING_PART}')


def swin_rules(prefix: str = '') -> Rules:
    """Rules for the encoder's keys, without its last norms, to mmpretrain's names."""
    prefix = re.escape(prefix)
    return (
        *swin_stage_rules(prefix),
        (
            rf'{prefix}layers\.(\d+)\.downsample\.{MERGING_PART}',
            r'backbone.stages.\1.downsample.\2',
        ),
    )


def swin_stage_rules(prefix: str = '') -> Rules:
    """Rules for patch embedding and blocks; ``prefix`` is part of a pattern."""
    block = rf'{prefix}layers\.(\d+)\.blocks\.(\d+)'
    return (
        (rf'{prefix}patch_embed\.proj{ENDING}', r'backbone.patch_embed.projection.\1'),
        (rf'{prefix}patch_embed\.norm{ENDING}', r'backbone.patch_embed.norm.\1'),
        block_rule(block, 'backbone.stages.{}.blocks.{}', BLOCK_PARTS),
        (
            rf'{block}\.attn\.(relative_position_(?:bias_table|index))',
            r'backbone.stages.\1.blocks.\2.attn.w_msa.\3',
        ),
        (rf'{block}\.attn_mask', None),  # computed from the size of the image
    )


def last_norm_rule(state: Mapping[str, torch.Tensor], prefix: str = '') -> Rules:
    """The norm behind the last stage, which mmpretrain names after the stage."""
    prefix = re.escape(prefix)
    last = max(count(state, rf'{prefix}layers\.(\d+)\.') - 1, 0)
    return ((rf'{prefix}norm{ENDING}', rf'backbone.norm{last}.\1'),)


def is_swin(state: Mapping[str, torch.Tensor], prefix: str = '') -> bool:
    """Windows with tables of biases, in layers of blocks."""
    return f'{prefix}layers.0.blocks.0.attn.relative_position_bias_table' in state


def merges_at_the_start(state: Mapping[str, torch.Tensor]) -> bool:
    """A merging counts to the stage that it opens, as in timm, not to the one that it ends."""
    merging = 'layers.{}.downsample.norm.weight'
    return merging.format(1) in state and merging.format(0) not in state


def reorder_mergings(converted: Converted, neighbours: tuple[int, ...]) -> Converted:
    """Bring the mergings into the order of ``nn.Unfold``, which mmpretrain's Swin uses.

    ``neighbours`` says for each place of a 2x2 square in raster order where the source has it.
    """
    moved = {key for key in converted.backbone if _MERGING.fullmatch(key)}
    backbone = {
        key: _unfold_order(value, neighbours) if key in moved else value
        for key, value in converted.backbone.items()
    }
    return replace(converted, backbone=backbone, reordered=sorted(moved))


def _unfold_order(weight: torch.Tensor, neighbours: tuple[int, ...]) -> torch.Tensor:
    """The last dimension from (neighbour, channel) to (channel, neighbour)."""
    parts = weight.unflatten(-1, (len(neighbours), -1))[..., list(neighbours), :]
    return parts.transpose(-1, -2).flatten(-2).contiguous()


def source_order(weight: torch.Tensor, neighbours: tuple[int, ...]) -> torch.Tensor:
    """Undo the order of ``nn.Unfold``: the last dimension to (neighbour, channel)."""
    parts = weight.unflatten(-1, (-1, len(neighbours))).transpose(-1, -2)
    places = [neighbours.index(place) for place in range(len(neighbours))]
    return parts[..., places, :].flatten(-2).contiguous()
