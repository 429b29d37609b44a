"""Loading into a network of timm that was built for images of another size than the file's."""

from collections.abc import Sequence

import torch
from timm.layers import resample_abs_pos_embed
from torch.nn import functional as F

from mim_bench.conversion.resizing.position_embedding import square_side
from mim_bench.conversion.timm_models import filter_of
from mim_bench.models.layers.base import Backbone, refuse_others


def fit_loaded(backbone: Backbone, state: dict[str, torch.Tensor], prefix: str, *_: object) -> None:
    """Resize tables for another image size before loading, as timm's loader of the family does."""
    backbone.resized_keys = []
    own = {key: value.shape for key, value in backbone.net.state_dict().items()}
    given = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    refuse_others(backbone, given, backbone.names)
    other = [key for key, value in given.items() if key in own and value.shape != own[key]]
    if not other or backbone.fixed_size is None:
        return
    rename = filter_of(backbone.name.partition('.')[0])
    fitted = given if rename is None else rename(dict(given), backbone.net)
    for key in other:
        table = fitted.get(key, given[key])
        table = table if table.shape == own[key] else _resized_table(table, own[key])
        if table is not None:
            state[prefix + key] = table
            backbone.resized_keys.append(key)


def _resized_table(table: torch.Tensor, shape: torch.Size) -> torch.Tensor | None:
    """Resize a table to another grid, bicubic with antialias as timm does; None if it is no table.

    Args:
        table: Positions (1, prefix + side * side, C), (1, C, rows, cols) or (1, rows, cols, C), or
            biases of distances (heads, side * side) or (side * side, heads).
        shape: The wanted shape.
    """
    if table.ndim != len(shape) or table.ndim not in (2, 3, 4):
        return None
    if table.ndim == 4 and table.shape[1] == shape[1]:
        return _bicubic(table, shape[2:])
    if table.ndim == 4:
        is_last = table.shape[3] == shape[3]
        resized = _bicubic(table.permute(0, 3, 1, 2), shape[1:3]) if is_last else None
        return None if resized is None else resized.permute(0, 2, 3, 1)
    if table.ndim == 2 and table.shape[1] == shape[1]:  # biases of distances (side * side, heads)
        turned = _resized_table(table.T, torch.Size((shape[1], shape[0])))
        return None if turned is None else turned.T.contiguous()
    axis = table.ndim - 2 if table.ndim == 3 else 1
    for num_prefix in range(3 if table.ndim == 3 else 1):
        sides = [square_side(rows - num_prefix) for rows in (table.shape[axis], shape[axis])]
        if not all(sides):
            continue
        if table.ndim == 2:
            return _bicubic(table.unflatten(1, (sides[0],) * 2)[None], (sides[1],) * 2)[0].flatten(
                1
            )
        return resample_abs_pos_embed(table, [sides[1]] * 2, num_prefix_tokens=num_prefix)
    return None


def _bicubic(maps: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    return F.interpolate(maps, tuple(size), mode='bicubic', antialias=True)
