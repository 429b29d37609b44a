"""UM-MAE's official checkpoints: Swin, pre-trained or fine-tuned."""

import re
from collections.abc import Mapping

import torch

from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Source
from mim_bench.errors import ConversionError

_BLOCK_PARTS = {
    'norm1': 'norm1',
    'norm2': 'norm2',
    'attn.qkv': 'attn.w_msa.qkv',
    'attn.proj': 'attn.w_msa.proj',
    'attn.posmlp.0': 'attn.w_msa.posmlp.0',
    'attn.posmlp.2': 'attn.w_msa.posmlp.2',
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


def detect(state: Mapping[str, torch.Tensor]) -> bool:
    """The position MLP is this format's alone."""
    return 'blocks.0.attn.posmlp.0.weight' in state


def architecture(state: Mapping[str, torch.Tensor]) -> dict:
    """Sizes of the Swin in a file, as ``UMMAESwin(arch=...)`` takes them."""
    starts = _stage_starts(state)
    ends = [*starts[1:], _num_blocks(state)]
    return {
        'embed_dims': state['patch_embed.proj.weight'].shape[0],
        'depths': [end - start for start, end in zip(starts, ends, strict=True)],
        'num_heads': [state[f'blocks.{g}.attn.posmlp.2.weight'].shape[0] for g in starts],
        'posmlp_dims': state['blocks.0.attn.posmlp.0.weight'].shape[0],
    }


def convert(state: Mapping[str, torch.Tensor], where: str) -> Converted:
    """Rename the keys; the stages are found by the downsampling that opens each."""
    starts = _stage_starts(state)

    def place(block: str) -> tuple[int, int]:
        index = int(block)
        stage = max(s for s, start in enumerate(starts) if start <= index)
        return stage, index - starts[stage]

    def block_key(block: str, part: str, leaf: str) -> str:
        stage, inner = place(block)
        return f'backbone.stages.{stage}.blocks.{inner}.{_BLOCK_PARTS[part]}.{leaf}'

    def downsample_key(block: str, part: str) -> str:
        return f'backbone.stages.{place(block)[0]}.downsample.{part}'

    parts = '|'.join(re.escape(part) for part in _BLOCK_PARTS)
    decoder_parts = '|'.join(re.escape(part) for part in _DECODER_PARTS)
    table = KeyTable(
        'ummae',
        (
            (r'patch_embed\.proj\.(weight|bias)', r'backbone.patch_embed.projection.\1'),
            (r'patch_embed\.norm\.(weight|bias)', r'backbone.patch_embed.norm.\1'),
            (rf'blocks\.(\d+)\.({parts})\.(weight|bias)', block_key),
            (r'blocks\.(\d+)\.downsample\.(.+)', downsample_key),
            (r'norm\.(weight|bias)', r'backbone.norm.\1'),
            (r'vis_mask_token', 'backbone.vis_mask_token'),
            (r'fc_norm\.(weight|bias)', r'neck.norm.\1'),
            (r'head\.(weight|bias)', r'head.fc.\1'),
            (r'(mask_token|decoder_pos_embed)', r'neck.\1'),
            (r'(decoder_embed|decoder_pred)\.(weight|bias)', r'neck.\1.\2'),
            (r'decoder_norm\.(weight|bias)', r'neck.ln1.\1'),
            (
                rf'decoder_blocks\.(\d+)\.({decoder_parts})\.(weight|bias)',
                lambda k, part, leaf: f'neck.decoder_blocks.{k}.{_DECODER_PARTS[part]}.{leaf}',
            ),
        ),
    )
    return table.apply(state, where)


def _num_blocks(state: Mapping[str, torch.Tensor]) -> int:
    blocks = {int(m[1]) for key in state if (m := re.match(r'blocks\.(\d+)\.', key))}
    return max(blocks) + 1


def _stage_starts(state: Mapping[str, torch.Tensor]) -> list[int]:
    starts = {int(m[1]) for key in state if (m := re.match(r'blocks\.(\d+)\.downsample\.', key))}
    if not starts:
        raise ConversionError('ummae: no block has a downsampling, so the stages are unknown.')
    return [0, *sorted(starts)]


SOURCE = Source(
    name='ummae',
    method='ummae',
    backbone_type='mim_bench.UMMAESwin',
    licence='CC-BY-NC-4.0',
    detect=detect,
    architecture=architecture,
    convert=convert,
)
