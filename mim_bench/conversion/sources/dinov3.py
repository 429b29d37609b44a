"""DINOv3's vision transformers: official files of hub and trainings, Hugging Face's DINOv3ViT."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from mim_bench.conversion.architecture import assumed_heads
from mim_bench.conversion.huggingface_keys import check_settings, hub_settings, joined_qkv
from mim_bench.conversion.key_table import KeyTable, Rules, count
from mim_bench.conversion.source import Fit, Network, Source, StateDict
from mim_bench.conversion.timm_models import TimmModel
from mim_bench.conversion.vit_keys import ENDING
from mim_bench.errors import ConversionError

_PERIODS, _REGISTERS = 'rope_embed.periods', 'storage_tokens'
_BASE = 100.0  # of the rotary positions, as timm's networks have it
_TOLERANCE = 2e-2  # released files hold the periods in bfloat16
_DROPPED = (
    r'mask_token|rope_embed\.periods|local_cls_norm\..+|projectors\..+|blocks\.\d+\.attn\.qkv\.'
    r'bias_mask'
)
# Hugging Face's names to the official ones.
_LAYER = r'layer\.(\d+)'
_HF_RULES: Rules = (
    (r'embeddings\.(cls_token|mask_token)', r'\1'),
    (r'embeddings\.register_tokens', _REGISTERS),
    (rf'embeddings\.patch_embeddings{ENDING}', r'patch_embed.proj.\1'),
    (rf'{_LAYER}\.norm([12]){ENDING}', r'blocks.\1.norm\2.\3'),
    (rf'{_LAYER}\.layer_scale([12])\.lambda1', r'blocks.\1.ls\2.gamma'),
    (rf'{_LAYER}\.attention\.([qkv]_proj){ENDING}', r'blocks.\1.attn.\2.\3'),
    (rf'{_LAYER}\.attention\.o_proj{ENDING}', r'blocks.\1.attn.proj.\2'),
    (rf'{_LAYER}\.mlp\.((?:gate|up|down)_proj){ENDING}', r'blocks.\1.mlp.\2.\3'),
    (rf'norm{ENDING}', r'norm.\1'),
)
_HF_MLP = {'up_proj': 'fc1', 'down_proj': 'fc2'}
_HF_GATED = {'gate_proj': 'w1', 'up_proj': 'w2', 'down_proj': 'w3'}


def _detect(state: StateDict, content: Mapping) -> Fit:
    """Stored periods of rotary positions, or Hugging Face's names."""
    is_own = {_PERIODS, 'blocks.0.attn.qkv.weight'} <= set(state) or _is_huggingface(state)
    return Fit.MARK if is_own else Fit.NO


def _is_huggingface(state: StateDict) -> bool:
    wanted = {'embeddings.register_tokens', 'layer.0.attention.o_proj.weight'}
    return wanted <= set(state) and 'embeddings.position_embeddings' not in state


def _network(state: StateDict, content: Mapping, where: str) -> Network:
    """The network of timm; a head has four channels for each period."""
    if _is_huggingface(state):
        settings = hub_settings(content)
        is_gated = 'layer.0.mlp.gate_proj.weight' in state
        check_settings(content, where, activation='silu' if is_gated else 'gelu', eps=1e-5)
        model, weights = _network(_official(state, settings, where), {}, where)
        return (model if settings else replace(model, assumed=('num_heads',))), weights
    _check(state, where)
    dims, *_, patch = state['patch_embed.proj.weight'].shape
    if _REGISTERS not in state:  # none, and timm's loader knows the official names by them
        state = {**state, _REGISTERS: torch.empty(1, 0, dims)}
    is_gated = 'blocks.0.mlp.w1.weight' in state
    hidden = state['blocks.0.mlp.w1.weight' if is_gated else 'blocks.0.mlp.fc1.weight'].shape[0]
    bias = state.get('blocks.0.attn.qkv.bias')
    args = {
        'patch_size': patch,
        'embed_dim': dims,
        'depth': count(state),
        'num_heads': dims // (4 * len(state[_PERIODS])),
        'mlp_ratio': hidden / dims,
        'num_reg_tokens': state[_REGISTERS].shape[1],
        'qkv_bias': bias is not None and bool(_biases(state).any()),
    }
    name = 'vit_small_plus_patch16_dinov3' if is_gated else 'vit_small_patch16_dinov3'
    return TimmModel(name, args, dropped=_DROPPED), _without_k_bias(state, args['qkv_bias'])


def _official(state: StateDict, settings: Mapping, where: str) -> dict[str, torch.Tensor]:
    """Hugging Face's weights under the official names; its networks compute their periods."""
    weights = joined_qkv(KeyTable('dinov3', _HF_RULES).apply(state, where).rest, where)
    names = _HF_GATED if 'blocks.0.mlp.gate_proj.weight' in weights else _HF_MLP
    for part, name in names.items():
        weights = {k.replace(f'.mlp.{part}.', f'.mlp.{name}.'): v for k, v in weights.items()}
    dims = weights['cls_token'].shape[-1]
    heads = settings.get('num_attention_heads') or assumed_heads(dims)
    base = settings.get('rope_theta') or (settings.get('rope_parameters') or {}).get('rope_theta')
    count = dims // heads // 4
    weights[_PERIODS] = (base or _BASE) ** (torch.arange(count) / count)
    return weights


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
            f"{where}: has a final norm of its own for the class token (cls_norm), which timm's "
            'network lacks. Convert the release on the Hugging Face Hub instead.'
        )
    periods = state[_PERIODS].float()
    expected = _BASE ** (torch.arange(len(periods)) / len(periods))
    if not torch.allclose(periods, expected, rtol=_TOLERANCE):
        raise ConversionError(
            f'{where}: its rotary positions have the periods {periods[:4].tolist()}..., those of '
            f'base {_BASE:g} {expected[:4].tolist()}.... No network of timm has them, so it cannot '
            'be converted.'
        )
    for key, bias in state.items():
        keys = bias.chunk(3)[1] if key.endswith('attn.qkv.bias') else bias[:0]
        mask = state.get(f'{key}_mask')
        # What a mask takes away may be no number.
        if (keys if mask is None else keys[mask.chunk(3)[1].nan_to_num() != 0]).any():
            raise ConversionError(
                f"{where}: {key} has biases of keys, which timm's network lacks, so it cannot be "
                'converted.'
            )


SOURCES = (
    Source(
        name='dinov3', detect=_detect, network=_network, method='dinov3', licence='DINOv3 licence'
    ),
)
