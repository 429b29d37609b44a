"""What happens to a checkpoint of a standard Swin as a model loads it."""

import re

import torch
from torch import nn

from mim_bench.conversion.resizing.relative_bias import resize_relative_bias

TABLE = 'relative_position_bias_table'
# Buffers that other libraries save; they follow from the sizes of windows and image.
_DERIVED = re.compile(r'stages\.\d+\.blocks\.\d+\.attn\.(w_msa\.relative_position_index|attn_mask)')


def fit_loaded_state(
    backbone: nn.Module, state: dict[str, torch.Tensor], prefix: str, *_: object
) -> None:
    """Resize tables for other windows and drop derived buffers, in place.

    A hook before ``load_state_dict``. ``backbone.resized_keys`` names the tables that were
    resized. Tables for another number of heads are left to torch, which reports their shape.

    Source of the interpolation: Swin's official loader (bicubic between windows).

    Args:
        backbone: With ``window_sizes``, one number for each of its stages.
        state: The checkpoint.
        prefix: Of the backbone's keys in it.
    """
    backbone.resized_keys = []
    for name, parameter in backbone.named_parameters():
        table = state.get(prefix + name)
        if not name.endswith(TABLE) or table is None or table.shape[1:] != parameter.shape[1:]:
            continue
        if table.shape[0] != parameter.shape[0]:
            side = backbone.window_sizes[int(name.split('.')[1])]
            state[prefix + name] = resize_relative_bias(
                table, (side, side), interpolation='bicubic', class_rows=False
            )
            backbone.resized_keys.append(name)
    for key in [key for key in state if _DERIVED.fullmatch(key.removeprefix(prefix))]:
        del state[key]
