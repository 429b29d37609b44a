"""DINOv3's official checkpoints of vision transformers, of the hub and of trainings."""

from collections.abc import Mapping

import torch

from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.timm_models import TimmModel, count_blocks
from mim_bench.errors import ConversionError

_PERIODS = 'rope_embed.periods'
_BASE = 100.0  # of the rotary positions, as timm's networks have it
_TOLERANCE = 2e-2  # released files hold the periods in bfloat16
_DROPPED = (
    r'mask_token|rope_embed\.periods|local_cls_norm\..+|projectors\..+|blocks\.\d+\.attn\.qkv\.'
    r'bias_mask'
)


def detect(state: StateDict, content: Mapping) -> Fit:
    """Storage tokens and stored periods of rotary positions."""
    return Fit.MARK if {'storage_tokens', _PERIODS} <= set(state) else Fit.NO


def network(
    state: StateDict, content: Mapping, where: str
) -> tuple[TimmModel, dict[str, torch.Tensor]]:
    """The network of timm; a head has four channels for each period."""
    _check(state, where)
    dims, *_, patch = state['patch_embed.proj.weight'].shape
    is_gated = 'blocks.0.mlp.w1.weight' in state
    hidden = state['blocks.0.mlp.w1.weight' if is_gated else 'blocks.0.mlp.fc1.weight'].shape[0]
    bias = state.get('blocks.0.attn.qkv.bias')
    args = {
        'patch_size': patch,
        'embed_dim': dims,
        'depth': count_blocks(state),
        'num_heads': dims // (4 * len(state[_PERIODS])),
        'mlp_ratio': hidden / dims,
        'num_reg_tokens': state['storage_tokens'].shape[1],
        'qkv_bias': bias is not None and bool(_biases(state).any()),
    }
    name = 'vit_small_plus_patch16_dinov3' if is_gated else 'vit_small_patch16_dinov3'
    return TimmModel(name, args, dropped=_DROPPED), _without_k_bias(state, args['qkv_bias'])


def _biases(state: StateDict) -> torch.Tensor:
    """Those of queries and values, of all blocks."""
    found = [v.chunk(3) for k, v in state.items() if k.endswith('attn.qkv.bias')]
    return torch.stack([torch.cat((q, v)) for q, _, v in found])


def _without_k_bias(state: StateDict, has_bias: bool) -> dict[str, torch.Tensor]:
    """Without biases that are all zero, which timm's networks of distilled sizes do not have."""
    return {k: v for k, v in state.items() if has_bias or not k.endswith('attn.qkv.bias')}


def _check(state: StateDict, where: str) -> None:
    """Refuse what timm's network would compute otherwise."""
    if 'cls_norm.weight' in state:
        raise ConversionError(
            f'{where}: has a final norm of its own for the class token (cls_norm), which the '
            "network of timm has not. Convert a checkpoint of the hub's kind."
        )
    periods = state[_PERIODS].float()
    expected = _BASE ** (torch.arange(len(periods)) / len(periods))
    if not torch.allclose(periods, expected, rtol=_TOLERANCE):
        raise ConversionError(
            f'{where}: its rotary positions have periods {periods[:4].tolist()}..., those of base '
            f'{_BASE:g} begin {expected[:4].tolist()}. No network of timm has them.'
        )
    for key, mask in state.items():
        if key.endswith('qkv.bias_mask') and mask.chunk(3)[1].nan_to_num().any():
            raise ConversionError(
                f'{where}: {key} keeps biases of keys, which the network of timm has not.'
            )


SOURCE = Source(
    name='dinov3', detect=detect, network=network, method='dinov3', licence='DINOv3 licence'
)
