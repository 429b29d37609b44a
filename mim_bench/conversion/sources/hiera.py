"""Hiera's official checkpoints, pre-trained by MAE or fine-tuned."""

import re
from collections.abc import Mapping

import torch

from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.timm_models import TimmModel, count_blocks, square_side

_PATCH = 4
# Heads of the first stage by its width; others are assumed to have one.
_HEADS = {96: 1, 112: 2, 144: 2}
_OPENING = re.compile(r'blocks\.(\d+)\.proj\.weight')
_DROPPED = (
    r'mask_token|decoder_pos_embed|'
    r'(?:decoder_\w+|multi_scale_fusion_heads|head\.projection)\..+'
)


def detect(state: StateDict, content: Mapping) -> Fit:
    """Blocks counted through all stages, some of which widen, and overlapping patches."""
    patches = state.get('patch_embed.proj.weight')
    is_own = patches is not None and patches.shape[-2:] == (7, 7)
    has_table = {'pos_embed', 'pos_embed_abs'} & set(state)
    return Fit.MARK if is_own and has_table and any(map(_OPENING.fullmatch, state)) else Fit.NO


def network(
    state: StateDict, content: Mapping, where: str
) -> tuple[TimmModel, dict[str, torch.Tensor]]:
    """The network of timm; a stage begins at each block that has a projection beside."""
    starts = [0, *sorted(int(m[1]) for key in state if (m := _OPENING.fullmatch(key)))]
    ends = [*starts[1:], count_blocks(state)]
    dims = state['patch_embed.proj.weight'].shape[0]
    args = {
        'embed_dim': dims,
        'num_heads': _HEADS.get(dims, 1),
        'stages': [end - start for start, end in zip(starts, ends, strict=True)],
    }
    if 'pos_embed' in state:
        side = square_side(state['pos_embed'].shape[1], where) * _PATCH
        args['img_size'] = [side, side]
    name = 'hiera_tiny_224' if 'pos_embed' in state else 'hiera_base_abswin_256'
    assumed = () if dims in _HEADS else ('num_heads',)
    return TimmModel(name, args, assumed=assumed, dropped=_DROPPED), dict(state)


SOURCE = Source(name='hiera', detect=detect, network=network, licence='CC-BY-NC-4.0')
