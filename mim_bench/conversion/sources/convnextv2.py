"""ConvNeXt V2: official files, pre-trained (sparse) or fine-tuned, and Hugging Face's."""

import math
import re
from collections.abc import Mapping

import torch

from mim_bench.conversion.huggingface_keys import check_settings
from mim_bench.conversion.key_table import KeyTable, Rules, count
from mim_bench.conversion.source import Fit, Network, Source, StateDict
from mim_bench.conversion.timm_models import TimmModel
from mim_bench.conversion.vit_keys import ENDING

_ENCODER = 'encoder.'
_STEM = 'downsample_layers.0.0.weight'
_GRN = 'stages.0.0.grn.gamma'
_DROPPED = r'mask_token|(?:proj|pred|decoder)\..+|head\..+'
# Hugging Face's names to the official ones.
_HF = r'(?:convnextv2\.)?'
_HF_STAGE = rf'{_HF}encoder\.stages\.(\d+)'
_HF_BLOCK = rf'{_HF_STAGE}\.layers\.(\d+)'
_HF_GRN = re.compile(rf'{_HF_BLOCK}\.grn\.weight')
_HF_RULES: Rules = (
    (rf'{_HF}embeddings\.patch_embeddings{ENDING}', r'downsample_layers.0.0.\1'),
    (rf'{_HF}embeddings\.layernorm{ENDING}', r'downsample_layers.0.1.\1'),
    (rf'{_HF_STAGE}\.downsampling_layer\.([01]){ENDING}', r'downsample_layers.\1.\2.\3'),
    (rf'{_HF_BLOCK}\.layernorm{ENDING}', r'stages.\1.\2.norm.\3'),
    (rf'{_HF_BLOCK}\.grn\.weight', r'stages.\1.\2.grn.gamma'),
    (rf'{_HF_BLOCK}\.grn\.bias', r'stages.\1.\2.grn.beta'),
    (rf'{_HF_BLOCK}\.(dwconv|pwconv[12]){ENDING}', r'stages.\1.\2.\3.\4'),
    (rf'{_HF}layernorm{ENDING}', r'norm.\1'),
    (rf'classifier{ENDING}', r'head.\1'),
)


def _detect(state: StateDict, content: Mapping) -> Fit:
    """Global response norms in the official names of ConvNeXt, or in Hugging Face's."""
    is_own = any({p + _STEM, p + _GRN} <= set(state) for p in ('', _ENCODER))
    return Fit.MARK if is_own or any(map(_HF_GRN.fullmatch, state)) else Fit.NO


def _network(state: StateDict, content: Mapping, where: str) -> Network:
    """The network of timm of the same widths and depths."""
    if _ENCODER + _STEM in state:
        state = _dense(state)
    elif any(map(_HF_GRN.fullmatch, state)):
        check_settings(content, where, activation='gelu', eps=None)  # eps of its heads alone
        state = KeyTable('convnextv2', _HF_RULES).apply(state, where).rest
    depths = [count(state, rf'stages\.{stage}\.(\d+)\.') for stage in range(4)]
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


SOURCES = (
    Source(
        name='convnextv2', detect=_detect, network=_network, method=_method, licence='CC-BY-NC-4.0'
    ),
)
