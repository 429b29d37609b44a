"""The blocks of a BEiT-type transformer, evaluated faster than mmpretrain evaluates them."""

import torch
from mmpretrain.models.backbones.beit import BEiTTransformerEncoderLayer
from mmpretrain.models.utils import BEiTAttention
from torch.nn import functional as F

from mim_bench.models.backbones.biased_attention import biased_attention
from mim_bench.models.linear import linear


def forward_block(
    layer: BEiTTransformerEncoderLayer, tokens: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """What a block gives, with fused attention and the layer scale inside the projections.

    Args:
        layer: Holds the weights; pre-norm, with or without layer scale.
        tokens: (B, L, C).
        bias: (1, heads, L, L), added to the attention logits of every image, or None. The
            layer's own table is not read.

    Returns:
        (B, L, C).

    Differs from ``layer(tokens, bias)`` in rounding, and in that drop path acts once on the
    MLP, as in the official code of BEiT; mmpretrain's FFN drops, then the block drops again.
    """
    attended = _attend(layer.attn, layer.ln1(tokens), bias)
    proj, fc1, fc2 = layer.attn.proj, layer.ffn.layers[0][0], layer.ffn.layers[1]
    branch = linear(attended, proj.weight, proj.bias, scale=layer.gamma_1)
    tokens = tokens + layer.drop_path(branch)
    hidden = F.gelu(linear(layer.ln2(tokens), fc1.weight, fc1.bias))
    branch = linear(hidden, fc2.weight, fc2.bias, scale=layer.gamma_2)
    return tokens + layer.drop_path(branch)


def _attend(attn: BEiTAttention, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Self-attention up to the output projection: (B, L, C) -> (B, L, C)."""
    qkv = linear(x, attn.qkv.weight, _qkv_bias(attn))
    q, k, v = qkv.unflatten(2, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    x = biased_attention(q, k, v, bias, attn.scale)
    return x.transpose(1, 2).flatten(2)


def _qkv_bias(attn: BEiTAttention) -> torch.Tensor | None:
    if attn.bias != 'qv_bias':
        return attn.qkv.bias
    # The keys have no bias: it would shift all logits of a query alike.
    return torch.cat((attn.q_bias, torch.zeros_like(attn.v_bias), attn.v_bias))
