"""Reduces a whole model under canonical names to the content of a canonical file."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import torch

from mim_bench.conversion.key_table import BACKBONE, Converted, count
from mim_bench.conversion.resizing.relative_bias import expand_shared_table, with_indices

# Tokens that pre-training alone uses; a backbone that is not pre-trained has no place for them.
PRETRAINING_TOKENS = ('backbone.vis_mask_token', 'backbone.mask_token')
_HALF_TYPES = (torch.float16, torch.bfloat16)


def backbone_alone(converted: Converted, names: Mapping[str, str]) -> Converted:
    """Remove what is not part of a backbone, and copy a shared table of positions to every block.

    Args:
        converted: The whole model.
        names: Keys outside the backbone that belong to it -> their keys in it.
    """
    backbone = {k: v for k, v in converted.backbone.items() if k not in PRETRAINING_TOKENS}
    backbone |= {names[k]: v for k, v in converted.rest.items() if k in names}
    dropped = [k for k in converted.rest if k not in names]
    dropped += [k for k in PRETRAINING_TOKENS if k in converted.backbone]
    num_layers = count(backbone, rf'{BACKBONE}layers\.(\d+)\.')
    spread = expand_shared_table(backbone, num_layers, BACKBONE)
    return replace(
        converted,
        backbone=with_indices(spread),
        rest={},
        dropped=[*converted.dropped, *sorted(dropped)],
        expanded=[*converted.expanded, *(k for k in spread if k not in backbone)],
    )


def plain_tensors(
    state: Mapping[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    """Weights as a file should hold them: float32 in place of half types, each its own memory.

    A view would be written with the whole tensor behind it.

    Returns:
        The weights, and how many of which type became float32.
    """
    cast = Counter(str(v.dtype).removeprefix('torch.') for v in state.values() if _is_half(v))
    seen: set[int] = set()
    plain = {}
    for key, value in state.items():
        value = value.detach()
        if _is_half(value):
            value = value.float()
        storage = value.untyped_storage()
        is_own = storage.nbytes() == value.nbytes and storage.data_ptr() not in seen
        plain[key] = value if is_own and value.is_contiguous() else value.clone().contiguous()
        seen.add(plain[key].untyped_storage().data_ptr())
    return plain, dict(cast)


def _is_half(value: torch.Tensor) -> bool:
    return value.dtype in _HALF_TYPES
