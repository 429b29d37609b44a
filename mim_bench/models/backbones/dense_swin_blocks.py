"""Swin's blocks and merging on whole maps, evaluated faster than mmpretrain evaluates them."""

import torch
from mmcv.cnn.bricks.transformer import PatchMerging
from mmpretrain.models.backbones.swin_transformer import SwinBlock
from mmpretrain.models.utils.attention import WindowMSA
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mim_bench.models.backbones.windows import (
    WindowPlan,
    cached_region_mask,
    from_windows,
    plan_windows,
    to_windows,
)


def dense_block(block: SwinBlock, x: torch.Tensor) -> torch.Tensor:
    """What a block gives, with fused attention and the masks of shifted windows made once.

    Args:
        block: Holds the weights.
        x: (B, H, W, C) map, which its windows divide.

    Returns:
        (B, H, W, C).
    """
    plan = plan_windows(tuple(x.shape[1:3]), block.attn.window_size, block.attn.shift_size > 0)
    if block.with_cp and x.requires_grad:
        return checkpoint(_run_block, block, x, plan, use_reentrant=False)
    return _run_block(block, x, plan)


def merge_map(merging: PatchMerging, x: torch.Tensor) -> torch.Tensor:
    """Run 2x2 patch merging: (B, H, W, C) -> (B, H / 2, W / 2, 2C)."""
    b, h, w, c = x.shape
    # nn.Unfold, whose order the weights have, puts the channel before the place.
    x = x.reshape(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 5, 2, 4)
    return merging.reduction(merging.norm(x.reshape(b, h // 2, w // 2, 4 * c)))


def _run_block(block: SwinBlock, x: torch.Tensor, plan: WindowPlan) -> torch.Tensor:
    attended = _attend(block.attn.w_msa, to_windows(block.norm1(x), plan), plan)
    x = x + block.attn.drop(from_windows(attended, plan))
    return block.ffn(block.norm2(x), identity=x)


def _attend(msa: WindowMSA, x: torch.Tensor, plan: WindowPlan) -> torch.Tensor:
    """(B, windows, tokens, C) -> the same shape."""
    b, windows, tokens, c = x.shape
    qkv = msa.qkv(x).reshape(b, windows, tokens, 3, msa.num_heads, -1)
    # (3, B, windows, heads, tokens, d) -> (B, windows * heads, tokens, d)
    q, k, v = (part.flatten(1, 2) for part in qkv.permute(3, 0, 1, 4, 2, 5))
    bias = msa.relative_position_bias_table.t()[:, msa.relative_position_index]
    if plan.needs_mask:
        bias = bias + cached_region_mask(plan, x.device)[:, None]
    bias = bias.expand(windows, -1, -1, -1).flatten(0, 1).to(q.dtype)
    dropout = msa.attn_drop.p if msa.training else 0.0
    x = F.scaled_dot_product_attention(
        q, k, v, attn_mask=bias.expand(b, -1, -1, -1), dropout_p=dropout, scale=msa.scale
    )
    x = x.reshape(b, windows, msa.num_heads, tokens, -1).transpose(2, 3)
    return msa.proj_drop(msa.proj(x.reshape(b, windows, tokens, c)))
