"""Names and channel orders of Microsoft's Swin, which several official repositories share."""

import re
from collections.abc import Mapping
from dataclasses import replace

import torch

from mim_bench.conversion.key_table import Converted, Target
from mim_bench.conversion.vit_keys import ENDING, MLP_PARTS, block_rule

# The order of the 2x2 neighbours behind each other in the weights of a merging.
ROW_FIRST = (0, 1, 2, 3)
COLUMN_FIRST = (0, 2, 1, 3)  # Microsoft's own, also SimMIM's

_BLOCK_PARTS = {
    'norm1': 'norm1',
    'norm2': 'norm2',
    'attn.qkv': 'attn.w_msa.qkv',
    'attn.proj': 'attn.w_msa.proj',
    **MLP_PARTS,
}
_MERGING = re.compile(r'backbone\.stages\.\d+\.downsample\.(norm|reduction)\..+')


def swin_rules(prefix: str = '') -> tuple[tuple[str, Target], ...]:
    """Rules for the encoder's keys, without its last norms, to mmpretrain's names.

    Args:
        prefix: Before every key, for example ``'encoder.'``.
    """
    prefix = re.escape(prefix)
    block = rf'{prefix}layers\.(\d+)\.blocks\.(\d+)'
    return (
        (rf'{prefix}patch_embed\.proj{ENDING}', r'backbone.patch_embed.projection.\1'),
        (rf'{prefix}patch_embed\.norm{ENDING}', r'backbone.patch_embed.norm.\1'),
        block_rule(block, 'backbone.stages.{}.blocks.{}', _BLOCK_PARTS),
        (
            rf'{block}\.attn\.(relative_position_(?:bias_table|index))',
            r'backbone.stages.\1.blocks.\2.attn.w_msa.\3',
        ),
        (rf'{block}\.attn_mask', None),  # computed from the size of the image
        (
            rf'{prefix}layers\.(\d+)\.downsample\.(norm\.(?:weight|bias)|reduction\.weight)',
            r'backbone.stages.\1.downsample.\2',
        ),
    )


def swin_architecture(state: Mapping[str, torch.Tensor], prefix: str = '') -> dict:
    """Sizes of the Swin in a file, as mmpretrain's ``SwinTransformer(arch=...)`` takes them."""
    depths: dict[int, int] = {}
    for key in state:
        if match := re.match(rf'{re.escape(prefix)}layers\.(\d+)\.blocks\.(\d+)\.', key):
            stage, block = map(int, match.groups())
            depths[stage] = max(depths.get(stage, 0), block + 1)
    table = prefix + 'layers.{}.blocks.0.attn.relative_position_bias_table'
    return {
        'embed_dims': state[f'{prefix}patch_embed.proj.weight'].shape[0],
        'depths': [depths[stage] for stage in sorted(depths)],
        'num_heads': [state[table.format(stage)].shape[1] for stage in sorted(depths)],
    }


def reorder_mergings(converted: Converted, neighbours: tuple[int, ...]) -> Converted:
    """Bring the mergings into the order of ``nn.Unfold``, which mmpretrain's Swin uses.

    Args:
        converted: Under mmpretrain's names, in the source's order.
        neighbours: For each place of a 2x2 square in raster order, where the weights of a
            merging have it: ``ROW_FIRST`` or ``COLUMN_FIRST``.
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
