"""DINOv2's official checkpoints, with and without registers, of the hub and of trainings."""

import re
from collections.abc import Mapping

import torch

from mim_bench.conversion.source import Fit, Network, Source, StateDict
from mim_bench.conversion.sources.dino import OFFSET
from mim_bench.conversion.timm_models import TimmModel, vit_args

_CHUNK = re.compile(r'blocks\.\d+\.(\d+\..+)')
_REGISTERS = 'register_tokens'


def _detect(state: StateDict, content: Mapping) -> Fit:
    """Layer scales and a mask token without a place in the sequence."""
    state = _unchunked(state)
    token = state.get('mask_token')
    is_own = token is not None and token.ndim == 2 and 'blocks.0.ls1.gamma' in state
    return Fit.MARK if is_own and 'pos_embed' in state else Fit.NO


def _network(state: StateDict, content: Mapping, where: str) -> Network:
    """The network of timm, with registers and gated MLPs where the file has them."""
    state = _unchunked(state)
    registers, gated = state.get(_REGISTERS), state.get('blocks.0.mlp.w12.weight')
    hidden = len(gated if gated is not None else state['blocks.0.mlp.fc1.weight'])
    args = vit_args(state, where, num_prefix=1, hidden=hidden)
    name = 'vit_small_patch14' if gated is None else 'vit_giant_patch14'
    if registers is None:
        return TimmModel(f'{name}_dinov2', args, OFFSET, ('num_heads',)), state
    args['reg_tokens'] = registers.shape[1]
    # timm's resizing is the official one here: bicubic with antialias, to the size.
    return TimmModel(f'{name}_reg4_dinov2', args, assumed=('num_heads',)), state


def _unchunked(state: StateDict) -> dict[str, torch.Tensor]:
    """Trainings store blocks in chunks, ``blocks.{chunk}.{block}``; blocks count through."""
    return {_CHUNK.sub(r'blocks.\1', key): value for key, value in state.items()}


SOURCES = (
    Source(
        name='dinov2',
        detect=_detect,
        network=_network,
        method='dinov2',
        licence='Apache-2.0',
    ),
)
