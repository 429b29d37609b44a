"""UM-MAE's official checkpoints: Swin and PVT, pre-trained or fine-tuned, and pre-trained ViT."""

import re
from collections.abc import Mapping

import torch

from mim_bench.conversion.key_table import Converted, KeyTable, Target
from mim_bench.conversion.source import Source
from mim_bench.conversion.vit_keys import ENDING, MLP_PARTS, block_rule, num_blocks, num_heads
from mim_bench.errors import ConversionError

_PYRAMID_PARTS = {
    'swin': {
        **{part: f'attn.w_msa.{part[5:]}' for part in ('attn.qkv', 'attn.proj')},
        **{f'attn.posmlp.{i}': f'attn.w_msa.posmlp.{i}' for i in (0, 2)},
    },
    'pvt': {f'attn.{part}': f'attn.{part}' for part in ('q', 'kv', 'proj', 'sr', 'norm')},
}
_BACKBONES = {
    'swin': 'mim_bench.UMMAESwin',
    'pvt': 'mim_bench.UMMAEPvt',
    'vit': 'mmpretrain.VisionTransformer',
}
# What every file has outside its blocks: embeddings, norms, heads, decoder.
_COMMON_RULES: tuple[tuple[str, Target], ...] = (
    (rf'patch_embed\.proj{ENDING}', r'backbone.patch_embed.projection.\1'),
    (rf'patch_embed\.norm{ENDING}', r'backbone.patch_embed.norm.\1'),
    (r'(vis_mask_token|pos_embed|cls_token)', r'backbone.\1'),
    (rf'fc_norm{ENDING}', r'neck.norm.\1'),
    (rf'head{ENDING}', r'head.fc.\1'),
    (r'(mask_token|decoder_pos_embed)', r'neck.\1'),
    (rf'(decoder_embed|decoder_pred){ENDING}', r'neck.\1.\2'),
    (rf'decoder_norm{ENDING}', r'neck.ln1.\1'),
)


def kind_of(state: Mapping[str, torch.Tensor]) -> str | None:
    """'swin', 'pvt' or 'vit'; None for another format.

    A ViT of that repository without the secondary mask token has the layout of MAE's files.
    """
    if 'blocks.0.attn.posmlp.0.weight' in state:
        return 'swin'
    if 'blocks.0.attn.sr.weight' in state:
        return 'pvt'
    return 'vit' if {'vis_mask_token', 'blocks.0.attn.qkv.weight'} <= set(state) else None


def detect(state: Mapping[str, torch.Tensor]) -> bool:
    """Position MLP, pooled attention in flat blocks, secondary mask token: this format's alone."""
    return kind_of(state) is not None


def architecture(state: Mapping[str, torch.Tensor]) -> dict:
    """Sizes of the encoder in a file, as the ``arch`` of its class takes them."""
    kind, last_block = kind_of(state), num_blocks(state)
    if kind == 'vit':
        hidden, dims = state['blocks.0.mlp.fc1.weight'].shape
        return {
            'embed_dims': dims,
            'num_layers': last_block,
            'num_heads': num_heads(dims),
            'feedforward_channels': hidden,
        }
    starts = _stage_starts(state)
    ends = [*starts[1:], last_block]
    depths = [end - start for start, end in zip(starts, ends, strict=True)]
    if kind == 'swin':
        return {
            'embed_dims': state['patch_embed.proj.weight'].shape[0],
            'depths': depths,
            'num_heads': [state[f'blocks.{g}.attn.posmlp.2.weight'].shape[0] for g in starts],
            'posmlp_dims': state['blocks.0.attn.posmlp.0.weight'].shape[0],
        }
    shapes = [state[f'blocks.{g}.mlp.fc1.weight'].shape for g in starts]
    return {
        'embed_dims': [dims for _, dims in shapes],
        'depths': depths,
        'num_heads': [num_heads(dims) for _, dims in shapes],
        'mlp_ratios': [hidden // dims for hidden, dims in shapes],
    }


def convert(state: Mapping[str, torch.Tensor], where: str) -> Converted:
    """Rename the keys; the stages are found by the downsampling that opens each."""
    kind = kind_of(state)
    if kind is None:
        raise ConversionError(
            f'{where}: is no file of UM-MAE (no position MLP, pooled attention or secondary mask '
            'token). Name the right --source.'
        )
    decoder = block_rule(r'decoder_blocks\.(\d+)', 'neck.decoder_blocks.{}')
    rules = _vit_rules() if kind == 'vit' else _pyramid_rules(state, _PYRAMID_PARTS[kind])
    return KeyTable('ummae', (*_COMMON_RULES, decoder, *rules)).apply(state, where)


def _vit_rules() -> tuple[tuple[str, Target], ...]:
    return (
        block_rule(r'blocks\.(\d+)', 'backbone.layers.{}'),
        (rf'norm{ENDING}', r'backbone.ln1.\1'),
    )


def _pyramid_rules(
    state: Mapping[str, torch.Tensor], attention: dict[str, str]
) -> tuple[tuple[str, Target], ...]:
    starts = _stage_starts(state)

    def stage_of(block: str) -> int:
        return max(s for s, start in enumerate(starts) if start <= int(block))

    def place(block: str) -> str:
        stage = stage_of(block)
        return f'backbone.stages.{stage}.blocks.{int(block) - starts[stage]}'

    parts = {'norm1': 'norm1', 'norm2': 'norm2', **attention, **MLP_PARTS}
    return (
        block_rule(r'blocks\.(\d+)', place, parts),
        (
            r'blocks\.(\d+)\.downsample\.(.+)',
            lambda block, part: f'backbone.stages.{stage_of(block)}.downsample.{part}',
        ),
        (rf'norm{ENDING}', r'backbone.norm.\1'),
    )


def _stage_starts(state: Mapping[str, torch.Tensor]) -> list[int]:
    starts = {int(m[1]) for key in state if (m := re.match(r'blocks\.(\d+)\.downsample\.', key))}
    if not starts:
        raise ConversionError('ummae: no block has a downsampling, so the stages are unknown.')
    return [0, *sorted(starts)]


SOURCE = Source(
    name='ummae',
    method='ummae',
    backbone_type=lambda state: _BACKBONES[kind_of(state)],
    licence='CC-BY-NC-4.0',
    detect=detect,
    architecture=architecture,
    convert=convert,
)
