"""LocalMIM's official Swin checkpoints, pre-trained."""

import re
from collections.abc import Mapping
from dataclasses import replace

import torch

from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Source

_BLOCK_PARTS = {
    'norm1': 'norm1',
    'norm2': 'norm2',
    'attn.qkv': 'attn.w_msa.qkv',
    'attn.proj': 'attn.w_msa.proj',
    'mlp.fc1': 'ffn.layers.0.0',
    'mlp.fc2': 'ffn.layers.1',
}
_DECODER_PARTS = {
    'norm1': 'ln1',
    'norm2': 'ln2',
    'attn.qkv': 'attn.qkv',
    'attn.proj': 'attn.proj',
    'mlp.fc1': 'ffn.layers.0.0',
    'mlp.fc2': 'ffn.layers.1',
}
_BLOCK = r'encoder\.layers\.(\d+)\.blocks\.(\d+)\.'
_MERGING = re.compile(r'backbone\.stages\.\d+\.downsample\.(norm|reduction)\..+')
# The order of the 2x2 neighbours behind each other in the weights of a merging.
ROW_FIRST = (0, 1, 2, 3)
COLUMN_FIRST = (0, 2, 1, 3)


def detect(state: Mapping[str, torch.Tensor]) -> bool:
    """A Swin with a norm for each task is this format's alone."""
    keys = ('encoder.norm.0.weight', 'encoder.layers.0.blocks.0.attn.relative_position_bias_table')
    return all(key in state for key in keys)


def architecture(state: Mapping[str, torch.Tensor]) -> dict:
    """Sizes of the Swin in a file, as mmpretrain's ``SwinTransformer(arch=...)`` takes them."""
    depths: dict[int, int] = {}
    for key in state:
        if match := re.match(_BLOCK, key):
            stage, block = map(int, match.groups())
            depths[stage] = max(depths.get(stage, 0), block + 1)
    table = 'encoder.layers.{}.blocks.0.attn.relative_position_bias_table'
    return {
        'embed_dims': state['encoder.patch_embed.proj.weight'].shape[0],
        'depths': [depths[stage] for stage in sorted(depths)],
        'num_heads': [state[table.format(stage)].shape[1] for stage in sorted(depths)],
    }


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
    converted = _table().apply(state, where)
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


def _table() -> KeyTable:
    parts = '|'.join(re.escape(part) for part in _BLOCK_PARTS)
    decoder_parts = '|'.join(re.escape(part) for part in _DECODER_PARTS)
    leaf = '(weight|bias)'

    def block_key(stage: str, block: str, part: str, leaf: str) -> str:
        return f'backbone.stages.{stage}.blocks.{block}.{_BLOCK_PARTS[part]}.{leaf}'

    def decoder_key(task: str, block: str, part: str, leaf: str) -> str:
        return f'neck.decoders.{task}.blocks.{block}.{_DECODER_PARTS[part]}.{leaf}'

    return KeyTable(
        'localmim-swin',
        (
            (rf'encoder\.patch_embed\.proj\.{leaf}', r'backbone.patch_embed.projection.\1'),
            (rf'encoder\.patch_embed\.norm\.{leaf}', r'backbone.patch_embed.norm.\1'),
            (rf'{_BLOCK}({parts})\.{leaf}', block_key),
            (
                rf'{_BLOCK}attn\.(relative_position_(?:bias_table|index))',
                r'backbone.stages.\1.blocks.\2.attn.w_msa.\3',
            ),
            (
                r'encoder\.layers\.(\d+)\.downsample\.(norm\.(?:weight|bias)|reduction\.weight)',
                r'backbone.stages.\1.downsample.\2',
            ),
            # The norms of the tasks stand behind the mergings: no norm of a plain Swin fits.
            (rf'encoder\.norm\.(\d+)\.{leaf}', r'neck.decoders.\1.norm_in.\2'),
            (r'decoder\.(\d+)\.(mask_token|pos_embed)', r'neck.decoders.\1.\2'),
            (rf'decoder\.(\d+)\.(embed|norm)\.{leaf}', r'neck.decoders.\1.\2.\3'),
            (rf'decoder\.(\d+)\.blocks\.(\d+)\.({decoder_parts})\.{leaf}', decoder_key),
            (rf'decoder\.(\d+)\.pred\.{leaf}', r'neck.preds.\1.\2'),
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
