"""Swin's blocks and merging on sparse tokens, with the weights of mmpretrain's modules."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mim_bench.models.backbones.window_groups import HIDDEN_PAIR, NUM_EXTRA, GroupPlan
from mim_bench.models.feed_forward import feed_forward


@dataclass(frozen=True)
class WindowGroups:
    """A :class:`GroupPlan` as tensors on the network's device.

    Attributes:
        tokens: (G * S,) int64, the token in each slot, or None for one group in order.
        slots: (N,) int64, the slot of each token, or None likewise.
        bias_index: (G, S, S) int64 into the table and the two entries behind it.
    """

    tokens: torch.Tensor | None
    slots: torch.Tensor | None
    bias_index: torch.Tensor

    @classmethod
    def from_plan(cls, plan: GroupPlan, device: torch.device) -> 'WindowGroups':
        """Move a plan to a device."""
        arrays = (plan.tokens, plan.slots, plan.bias_index)
        return cls(*(a if a is None else torch.from_numpy(a).to(device) for a in arrays))


class _Rearrange(torch.autograd.Function):
    """``x.index_select(dim, index)`` with a gather by ``inverse`` as its backward.

    Right where an entry that stands at several places is used at one of them only, which is
    what the plan of the groups promises; a gather is faster than adding up, and its sums do
    not depend on the order of a GPU's threads.
    """

    @staticmethod
    def forward(ctx, x, dim, index, inverse):
        ctx.dim = dim
        ctx.save_for_backward(inverse)
        return x.index_select(dim, index)

    @staticmethod
    def backward(ctx, grad):
        (inverse,) = ctx.saved_tensors
        return grad.index_select(ctx.dim, inverse), None, None, None


def sparse_block(block: nn.Module, x: torch.Tensor, groups: WindowGroups) -> torch.Tensor:
    """Run mmpretrain's ``SwinBlock`` on visible tokens: (B, N, C) -> (B, N, C)."""
    if block.with_cp and x.requires_grad:
        return checkpoint(_run_block, block, x, groups, use_reentrant=False)
    return _run_block(block, x, groups)


def _run_block(block: nn.Module, x: torch.Tensor, groups: WindowGroups) -> torch.Tensor:
    x = x + block.attn.drop(grouped_attention(block.attn.w_msa, block.norm1(x), groups))
    return x + feed_forward(block.ffn, block.norm2(x))


def grouped_attention(msa: nn.Module, x: torch.Tensor, groups: WindowGroups) -> torch.Tensor:
    """Run mmpretrain's ``WindowMSA`` on packed windows: (B, N, C) -> (B, N, C)."""
    b, n, c = x.shape
    heads = msa.num_heads
    qkv = msa.qkv(x).reshape(b, n, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
    if groups.tokens is not None:
        qkv = _Rearrange.apply(qkv, 3, groups.tokens, groups.slots)
    bias = position_bias(msa.relative_position_bias_table, groups.bias_index)
    # (3, B, heads, G * S, d) -> 3 of (B, heads * G, S, d)
    num_groups, size, _ = groups.bias_index.shape
    q, k, v = qkv.reshape(3, b, heads * num_groups, size, c // heads).unbind(0)
    x = F.scaled_dot_product_attention(
        q, k, v, attn_mask=bias.to(q.dtype).expand(b, -1, -1, -1), scale=msa.scale
    )
    x = x.reshape(b, heads, num_groups * size, c // heads)
    if groups.tokens is not None:
        x = _Rearrange.apply(x, 2, groups.slots, groups.tokens)
    return msa.proj(x.transpose(1, 2).reshape(b, n, c))


def position_bias(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Biases of all pairs of a group.

    Args:
        table: (T, heads).
        index: (G, S, S) int64: below T a relative position, then minus infinity for a pair
            that must not see each other, and 0 for a pair of slots without a token.

    Returns:
        (heads * G, S, S).
    """
    extra = table.new_zeros(NUM_EXTRA, table.shape[1])
    extra[HIDDEN_PAIR] = float('-inf')
    entries = torch.cat((table, extra)).t()
    return entries.index_select(1, index.flatten()).reshape(-1, *index.shape[1:])


def merge_tokens(merging: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Run mmpretrain's ``PatchMerging`` on tokens in Z-order: (B, N, C) -> (B, N / 4, 2C)."""
    b, n, c = x.shape
    # nn.Unfold, whose order the weights have, puts the channel before the place.
    x = x.reshape(b, n // 4, 4, c).transpose(2, 3).reshape(b, n // 4, 4 * c)
    return merging.reduction(merging.norm(x))
