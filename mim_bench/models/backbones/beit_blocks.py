"""The blocks of a BEiT-type transformer, evaluated faster than mmpretrain evaluates them."""

from collections.abc import Callable

import torch
from torch import nn

from mim_bench.models.backbones.biased_attention import biased_attention
from mim_bench.models.linear import linear


def attend_to_all(qkv: torch.Tensor, attn: nn.Module, bias: torch.Tensor | None) -> torch.Tensor:
    """Self-attention of every token to all.

    Args:
        qkv: (B, L, 3 C), queries, keys and values.
        attn: Holds ``num_heads`` and ``scale``.
        bias: (1, heads, L, L), added to the attention logits of every image, or None.

    Returns:
        (B, L, C), before the output projection.
    """
    q, k, v = qkv.unflatten(2, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return biased_attention(q, k, v, bias, attn.scale).transpose(1, 2).flatten(2)


def forward_block(
    layer: nn.Module,
    tokens: torch.Tensor,
    bias: object,
    attend: Callable[[torch.Tensor, nn.Module, object], torch.Tensor] = attend_to_all,
) -> torch.Tensor:
    """What a block gives, with fused attention and the layer scale inside the projections.

    Args:
        layer: Holds the weights under the names of mmpretrain's
            ``BEiTTransformerEncoderLayer``; pre-norm, with or without layer scale.
        tokens: (B, L, C).
        bias: What ``attend`` takes: for :func:`attend_to_all` (1, heads, L, L) or None. The
            layer's own table is not read.
        attend: From queries, keys and values (B, L, 3 C) to (B, L, C).

    Returns:
        (B, L, C).

    Differs from ``layer(tokens, bias)`` in rounding, and in that drop path acts once on the
    MLP, as in the official code of BEiT; mmpretrain's FFN drops, then the block drops again.
    """
    attn, fc1, fc2 = layer.attn, layer.ffn.layers[0][0], layer.ffn.layers[1]
    qkv = linear(layer.ln1(tokens), attn.qkv.weight, _qkv_bias(attn))
    attended = attend(qkv, attn, bias)
    branch = linear(attended, attn.proj.weight, attn.proj.bias, scale=layer.gamma_1)
    tokens = tokens + layer.drop_path(branch)
    hidden = linear(layer.ln2(tokens), fc1.weight, fc1.bias)
    branch = linear(hidden, fc2.weight, fc2.bias, scale=layer.gamma_2, of_gelu=True)
    return tokens + layer.drop_path(branch)


def _qkv_bias(attn: nn.Module) -> torch.Tensor | None:
    if attn.bias != 'qv_bias':
        return attn.qkv.bias
    # The keys have no bias: it would shift all logits of a query alike.
    return torch.cat((attn.q_bias, torch.zeros_like(attn.v_bias), attn.v_bias))
