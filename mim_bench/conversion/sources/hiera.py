"""Hiera: official files, pre-trained by MAE or fine-tuned, and Hugging Face's."""

import re
from collections.abc import Mapping

import torch

from mim_bench.conversion.huggingface_keys import check_settings, hub_settings
from mim_bench.conversion.key_table import KeyTable, Rules, count
from mim_bench.conversion.source import Fit, Network, Source, StateDict
from mim_bench.conversion.timm_models import TimmModel, side_of_table
from mim_bench.conversion.vit_keys import ENDING

_PATCH = 4
# Heads of the first stage by its width; others are assumed to have one.
_HEADS = {96: 1, 112: 2, 144: 2}
_OPENING = re.compile(r'blocks\.(\d+)\.proj\.weight')
_DROPPED = (
    r'mask_token|decoder_pos_embed|'
    r'(?:decoder_\w+|multi_scale_fusion_heads|head\.projection)\..+'
)
# Hugging Face's names to the official ones but for the number of a block, {stage}-{layer}.
_HF = r'(?:hiera\.)?'
_HF_LAYER = rf'{_HF}encoder\.stages\.(\d+)\.layers\.(\d+)'
_HF_RULES: Rules = (
    (rf'{_HF}embeddings\.position_embeddings', 'pos_embed'),
    (rf'{_HF}embeddings\.patch_embeddings\.projection{ENDING}', r'patch_embed.proj.\1'),
    (rf'{_HF_LAYER}\.layernorm_before{ENDING}', r'blocks.\1-\2.norm1.\3'),
    (rf'{_HF_LAYER}\.layernorm_after{ENDING}', r'blocks.\1-\2.norm2.\3'),
    (rf'{_HF_LAYER}\.(attn\.(?:qkv|proj)|mlp\.fc[12]|proj){ENDING}', r'blocks.\1-\2.\3.\4'),
    (rf'{_HF}pooler\.layernorm{ENDING}', r'norm.\1'),
    (rf'classifier{ENDING}', r'head.projection.\1'),
    (r'decoder\..+|multiscale_fusion\..+|encoder_norm\..+|mask_token', None),
)


def _detect(state: StateDict, content: Mapping) -> Fit:
    """Blocks counted through all stages, some of which widen, and overlapping patches."""
    if _is_huggingface(state):
        return Fit.MARK
    patches = state.get('patch_embed.proj.weight')
    is_own = patches is not None and patches.shape[-2:] == (7, 7)
    has_table = {'pos_embed', 'pos_embed_abs'} & set(state)
    return Fit.MARK if is_own and has_table and any(map(_OPENING.fullmatch, state)) else Fit.NO


def _is_huggingface(state: StateDict) -> bool:
    return any(re.fullmatch(rf'{_HF_LAYER}\.attn\.qkv\.weight', key) for key in state)


def _official(state: StateDict, where: str) -> dict[str, torch.Tensor]:
    """Hugging Face's weights under the official names."""
    named = KeyTable('hiera', _HF_RULES).apply(state, where).rest
    depths = [count(state, rf'{_HF}encoder\.stages\.{i}\.layers\.(\d+)') for i in range(4)]

    def place(match: re.Match) -> str:
        return f'blocks.{sum(depths[: int(match[1])]) + int(match[2])}.'

    return {re.sub(r'blocks\.(\d+)-(\d+)\.', place, key): value for key, value in named.items()}


def _network(state: StateDict, content: Mapping, where: str) -> Network:
    """The network of timm; a stage begins at each block that has a projection beside."""
    if _is_huggingface(state):
        check_settings(content, where, activation='gelu', eps=1e-6)
        state = _official(state, where)
    starts = [0, *sorted(int(m[1]) for key in state if (m := _OPENING.fullmatch(key)))]
    ends = [*starts[1:], count(state)]
    dims = state['patch_embed.proj.weight'].shape[0]
    stated = hub_settings(content).get('num_heads')
    args = {
        'embed_dim': dims,
        'num_heads': stated[0] if stated else _HEADS.get(dims, 1),
        'stages': [end - start for start, end in zip(starts, ends, strict=True)],
    }
    if 'pos_embed' in state:
        side = side_of_table(state['pos_embed'].shape[1], where) * _PATCH
        args['img_size'] = [side, side]
    name = 'hiera_tiny_224' if 'pos_embed' in state else 'hiera_base_abswin_256'
    assumed = () if stated or dims in _HEADS else ('num_heads',)
    return TimmModel(name, args, assumed=assumed, dropped=_DROPPED), dict(state)


SOURCES = (Source(name='hiera', detect=_detect, network=_network, licence='CC-BY-NC-4.0'),)
