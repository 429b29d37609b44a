"""EVA-02's official checkpoints: rotary positions, gated MLPs, separate projections."""

from collections.abc import Mapping

import torch

from mim_bench.conversion.key_table import count
from mim_bench.conversion.source import Fit, Network, Source, StateDict
from mim_bench.conversion.timm_models import TimmModel, side_of_table
from mim_bench.errors import ConversionError

_ROPE = 'rope.freqs_cos'
_JOINED = 'blocks.0.mlp.w12.weight'  # of xformers, in the sizes Ti and S
_GATES = {'blocks.0.mlp.w1.weight', _JOINED}
# CLIP's.
_PIXELS = {
    'mean': [0.48145466, 0.4578275, 0.40821073],
    'std': [0.26862954, 0.26130258, 0.27577711],
}
_THETA, _PRETRAINED_GRID = 10000.0, 16


def _detect(state: StateDict, content: Mapping) -> Fit:
    """Stored rotary positions beside a table, and gated MLPs: two layers and one, or joined."""
    wanted = {_ROPE, 'pos_embed', 'blocks.0.mlp.w3.weight'}
    return Fit.MARK if wanted <= set(state) and _GATES & set(state) else Fit.NO


def _network(state: StateDict, content: Mapping, where: str) -> Network:
    """The network of timm; the width of a head stands in the rotary positions."""
    dims, patch = state['cls_token'].shape[-1], state['patch_embed.proj.weight'].shape[-1]
    side = side_of_table(state['pos_embed'].shape[1] - 1, where)
    state = dict(state)
    if 'blocks.0.mlp.ffn_ln.weight' not in state:
        _join_gates(state)
    hidden = state['blocks.0.mlp.w3.weight'].shape[1]
    reference = _reference_grid(state[_ROPE], side, where)
    args = {
        'img_size': side * patch,
        'patch_size': patch,
        'embed_dim': dims,
        'depth': count(state),
        'num_heads': dims // state[_ROPE].shape[1],
        'mlp_ratio': hidden / dims,
        'ref_feat_shape': [reference, reference],
        'qkv_fused': 'blocks.0.attn.qkv.weight' in state,
        'scale_mlp': 'blocks.0.mlp.ffn_ln.weight' in state,
        'scale_attn_inner': 'blocks.0.attn.inner_attn_ln.weight' in state,
        'global_pool': 'token' if 'norm.weight' in state else 'avg',
    }
    dropped = r'mask_token|lm_head\..+|(?:blocks\.\d+\.attn\.)?rope\..+'
    model = TimmModel(
        'eva02_base_patch14_224', args, {'antialias': False}, pixels=_PIXELS, dropped=dropped
    )
    return model, state


def _join_gates(state: dict[str, torch.Tensor]) -> None:
    """Put ``w1`` and ``w2`` one after the other, as timm has them where no norm follows."""
    for key in [key for key in state if '.mlp.w1.' in key]:
        pair = [state.pop(key), state.pop(key.replace('.w1.', '.w2.'))]
        state[key.replace('.w1.', '.w12.')] = torch.cat(pair)


def _reference_grid(cosines: torch.Tensor, side: int, where: str) -> int:
    """The grid that rotary numbers are scaled to: the file's own, or that of the pre-training."""
    dim = cosines.shape[1] // 2
    speeds = _THETA ** -(torch.arange(0, dim, 2)[: dim // 2].float() / dim)
    for reference in (side, _PRETRAINED_GRID):
        numbers = torch.arange(side).float() / side * reference
        angles = (numbers[:, None] * speeds).repeat_interleave(2, dim=1)
        rows, cols = angles.repeat_interleave(side, dim=0), angles.repeat(side, 1)
        if torch.allclose(torch.cat((rows, cols), dim=1).cos(), cosines.float(), atol=1e-2):
            return reference
    raise ConversionError(
        f'{where}: its rotary positions are not those of EVA-02 (theta {_THETA:g}, scaled to a '
        f'grid of {side} or {_PRETRAINED_GRID}). No network of timm has them, so it cannot be '
        'converted.'
    )


SOURCES = (Source(name='eva02', detect=_detect, network=_network, method='eva02', licence='MIT'),)
