"""Attention with a learned bias: of all tokens of an image, and inside windows."""

import torch
from torch.nn import functional as F


def biased_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """``softmax(scale * q k^T + bias) v``, without a second copy of all weights in memory.

    Args:
        q: (B, heads, L, d).
        k: Like ``q``.
        v: Like ``q``.
        bias: (1, heads, L, L), or None.
        scale: Of the products.

    Returns:
        (B, heads, L, d).
    """
    # torch's fused attention for CPUs has no gradient for a bias; it would fall back to one
    # that keeps three (B, heads, L, L) and more.
    if bias is not None and bias.requires_grad and q.device.type == 'cpu' and q.dtype == bias.dtype:
        return _LearnedBiasAttention.apply(q, k, v, bias, scale)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)


def attend_to_few(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor,
    scale: float | None = None,
) -> torch.Tensor:
    """``softmax(scale * q k^T + bias) v`` of few tokens, whose attention weights may be kept.

    Args:
        q: (N, heads, tokens, d).
        k: Like ``q``.
        v: Like ``q``.
        bias: Broadcasts to (N, heads, tokens, tokens); no row of it is -inf throughout.
        scale: Of the products; None is d ** -0.5.

    Returns:
        (N, heads, tokens, d).
    """
    if q.is_cuda or not bias.requires_grad:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    # On a CPU torch has no fused kernel for such a bias, and its fallback searches every row
    # for one that is wholly masked. Keeping the weights is faster than computing them twice.
    scores = q * (q.shape[-1] ** -0.5 if scale is None else scale) @ k.transpose(-2, -1)
    scores += bias
    return scores.softmax(-1) @ v


class _LearnedBiasAttention(torch.autograd.Function):
    """Fused forward pass; the backward pass computes the attention weights again."""

    @staticmethod
    def forward(ctx, q, k, v, bias, scale):
        ctx.save_for_backward(q, k, v, bias)
        ctx.scale = scale
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.detach(), scale=scale)

    @staticmethod
    def backward(ctx, grad):
        q, k, v, bias = ctx.saved_tensors
        q = q * ctx.scale
        weights = (q @ k.transpose(-2, -1)).add_(bias).softmax(dim=-1)
        grad_v = weights.transpose(-2, -1) @ grad
        # Of the softmax: P * (G - rowsum(P * G)).
        grad_logits = (grad @ v.transpose(-2, -1)).mul_(weights)
        grad_logits -= weights.mul_(grad_logits.sum(dim=-1, keepdim=True))
        grad_q = (grad_logits @ k).mul_(ctx.scale)
        grad_k = grad_logits.transpose(-2, -1) @ q
        return grad_q, grad_k, grad_v, grad_logits.sum(dim=0, keepdim=True), None
