"""Swin's window attention and merging on whole maps, with the weights of any standard Swin.

The modules may be mmpretrain's or :mod:`mim_bench.models.backbones.swin_attention`'s, whose
names are the same.
"""

from dataclasses import dataclass

import torch
from mmpretrain.models.backbones.swin_transformer import SwinBlock
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mim_bench.models.backbones.biased_attention import attend_to_few
from mim_bench.models.backbones.windows import (
    WindowPlan,
    bias_table_index,
    cached_region_mask,
    from_windows,
    plan_swin_windows,
    to_windows,
)
from mim_bench.models.feed_forward import feed_forward


@dataclass(frozen=True)
class SwinLayout:
    """What the blocks of a stage share at one resolution.

    Attributes:
        plan: The windows.
        index: (tokens, tokens) int64, from (query, key) into the table of relative positions.
        mask: (windows, tokens, tokens) float32 of 0 and -100, or None where all see each other.
    """

    plan: WindowPlan
    index: torch.Tensor
    mask: torch.Tensor | None


def swin_layout(
    grid: tuple[int, int],
    window_size: int,
    device: torch.device,
    *,
    shifted: bool,
    pad_small_map: bool,
    mask_padding: bool = False,
) -> SwinLayout:
    """The windows of a map; its tensors are made once for each grid.

    Args:
        grid: The map as (rows, cols).
        window_size: Of the table.
        device: Of the network.
        shifted: Whether the block shifts by half a window.
        pad_small_map: Of :func:`~mim_bench.models.backbones.windows.plan_swin_windows`.
        mask_padding: Keep padding out of the attention.
    """
    plan = plan_swin_windows(grid, window_size, shifted, pad_small_map=pad_small_map)
    seen = plan if mask_padding else plan.whole
    return SwinLayout(
        plan,
        bias_table_index(plan.window, (window_size, window_size), device),
        cached_region_mask(seen, device) if seen.needs_mask else None,
    )


def dense_block(block: SwinBlock, x: torch.Tensor) -> torch.Tensor:
    """What mmpretrain's block gives, with fused attention and the masks made once.

    Args:
        block: Holds the weights; without dropout on attention weights and projection.
        x: (B, H, W, C).

    Returns:
        (B, H, W, C).
    """
    layout = swin_layout(
        tuple(x.shape[1:3]),
        block.attn.window_size,
        x.device,
        shifted=block.attn.shift_size > 0,
        pad_small_map=block.attn.pad_small_map,
    )
    if block.with_cp and x.requires_grad:
        return checkpoint(_run_block, block, x, layout, use_reentrant=False)
    return _run_block(block, x, layout)


def _run_block(block: SwinBlock, x: torch.Tensor, layout: SwinLayout) -> torch.Tensor:
    msa = block.attn.w_msa
    bias = expand_bias(msa.relative_position_bias_table, layout.index)
    x = x + block.attn.drop(attend_map(msa, block.norm1(x), layout, bias))
    return x + feed_forward(block.ffn, block.norm2(x))


def expand_bias(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The bias of all pairs: a table (T, heads), (tokens, tokens) -> (heads, tokens, tokens)."""
    num_heads = table.shape[1]
    # The gradient of this gather is several times as fast as that of table[index].
    bias = table.t().gather(1, index.reshape(1, -1).expand(num_heads, -1))
    return bias.reshape(num_heads, *index.shape)


def attend_map(
    msa: nn.Module, x: torch.Tensor, layout: SwinLayout, bias: torch.Tensor
) -> torch.Tensor:
    """Window attention of a map.

    Args:
        msa: Holds ``qkv``, ``proj``, ``num_heads`` and ``scale``.
        x: (B, H, W, C).
        layout: The windows.
        bias: (heads, tokens, tokens), in any floating type.

    Returns:
        (B, H, W, C).
    """
    x = to_windows(x, layout.plan)
    b, windows, tokens, c = x.shape
    qkv = msa.qkv(x).reshape(b, windows, tokens, 3, msa.num_heads, -1)
    if layout.mask is None:
        # Windows join the batch: queries, keys and values stay where they are.
        q, k, v = qkv.flatten(0, 1).permute(2, 0, 3, 1, 4)
        x = attend_to_few(q, k, v, bias[None].to(q.dtype), msa.scale).transpose(1, 2)
    else:
        # Windows join the heads, so that the bias and mask of all images is never copied.
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).flatten(2, 3)
        bias = (bias + layout.mask[:, None]).flatten(0, 1)[None].to(q.dtype)
        x = attend_to_few(q, k, v, bias, msa.scale)
        x = x.unflatten(1, (windows, msa.num_heads)).transpose(2, 3)
    return from_windows(msa.proj(x.reshape(b, windows, tokens, c)), layout.plan)


def merge_map(merging: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Run 2x2 patch merging: (B, H, W, C) -> (B, ceil(H / 2), ceil(W / 2), 2C).

    A side of odd length is filled up with zeros.
    """
    rows, cols = x.shape[1:3]
    if rows % 2 or cols % 2:
        x = F.pad(x, (0, 0, 0, cols % 2, 0, rows % 2))
    b, h, w, c = x.shape
    # nn.Unfold, whose order the weights have, puts the channel before the place.
    x = x.reshape(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 5, 2, 4)
    return merging.reduction(merging.norm(x.reshape(b, h // 2, w // 2, 4 * c)))
