"""ConvNeXt V2's official checkpoints: pre-trained (sparse names and kernels) or fine-tuned."""

import math
import re
from collections.abc import Mapping

import torch

from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.timm_models import TimmModel, count_blocks

_ENCODER = 'encoder.'
_STEM = 'downsample_layers.0.0.weight'
_GRN = 'stages.0.0.grn.gamma'
_DROPPED = r'mask_token|(?:proj|pred|decoder)\..+|head\..+'


def detect(state: StateDict, content: Mapping) -> Fit:
    """Global response norms in the official names of ConvNeXt."""
    is_own = any({p + _STEM, p + _GRN} <= set(state) for p in ('', _ENCODER))
    return Fit.MARK if is_own else Fit.NO


def network(
    state: StateDict, content: Mapping, where: str
) -> tuple[TimmModel, dict[str, torch.Tensor]]:
    """The network of timm of the same widths and depths."""
    if _ENCODER + _STEM in state:
        state = _dense(state)
    depths = [count_blocks(state, rf'stages\.{stage}\.(\d+)\.') for stage in range(4)]
    widths = [state[f'stages.{stage}.0.norm.weight'].shape[0] for stage in range(4)]
    args = {'depths': depths, 'dims': widths}
    return TimmModel('convnextv2_atto', args, dropped=_DROPPED), dict(state)


def _dense(state: StateDict) -> dict[str, torch.Tensor]:
    """The encoder of a pre-training with the names and shapes of the fine-tuned network."""
    dense = {}
    for key, value in state.items():
        if not key.startswith(_ENCODER):
            continue
        name = re.sub(r'\.(?:ln|linear)\.', '.', key.removeprefix(_ENCODER))
        if name.endswith('.kernel'):
            name, value = name.removesuffix('kernel') + 'weight', _kernel(value)
        elif name.endswith('.bias') or '.grn.' in name:
            value = value.flatten()
        dense[name] = value
    return dense


def _kernel(kernel: torch.Tensor) -> torch.Tensor:
    """(k * k, in, out) or (k * k, C), columns first, to (out, in, k, k) or (C, 1, k, k)."""
    side = math.isqrt(kernel.shape[0])
    square = kernel.unflatten(0, (side, side)).transpose(0, 1)  # (row, column, ...)
    if kernel.ndim == 2:
        return square.permute(2, 0, 1).unsqueeze(1)
    return square.permute(3, 2, 0, 1)


def _method(state: StateDict) -> str | None:
    return 'fcmae' if _ENCODER + _STEM in state else None


SOURCE = Source(
    name='convnextv2', detect=detect, network=network, method=_method, licence='CC-BY-NC-4.0'
)
