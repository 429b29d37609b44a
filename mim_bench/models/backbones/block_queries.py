"""A transformer block evaluated at some of its tokens only."""

import torch
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch.nn import functional as F


def forward_queries(
    layer: TransformerEncoderLayer, tokens: torch.Tensor, queries: torch.Tensor
) -> torch.Tensor:
    """What a block gives at some tokens, which attend to all.

    For the last block of a network whose other outputs nobody reads: their queries, their
    projection and their MLP are left out. The numbers are those of ``layer(tokens)``.

    Args:
        layer: A block of mmpretrain's ``VisionTransformer``.
        tokens: (B, L, C), the input of the block.
        queries: (B, Q, C), those of ``tokens`` at which the output is wanted.

    Returns:
        (B, Q, C).
    """
    attn = layer.attn
    split = (attn.embed_dims, 2 * attn.embed_dims)
    biases = (None, None) if attn.qkv.bias is None else attn.qkv.bias.split(split)
    weights = attn.qkv.weight.split(split)
    q = _heads(F.linear(layer.ln1(queries), weights[0], biases[0]), 1, attn)
    kv = _heads(F.linear(layer.ln1(tokens), weights[1], biases[1]), 2, attn)
    dropout = attn.attn_drop if attn.training else 0.0
    x = F.scaled_dot_product_attention(q[0], kv[0], kv[1], dropout_p=dropout)
    x = x.transpose(1, 2).flatten(2)  # (B, heads, Q, d) -> (B, Q, C)
    x = attn.out_drop(attn.gamma1(attn.proj_drop(attn.proj(x))))
    x = queries + x
    return layer.ffn(layer.ln2(x), identity=x)


def _heads(x: torch.Tensor, num_parts: int, attn: torch.nn.Module) -> torch.Tensor:
    """(B, L, parts * C) -> (parts, B, heads, L, d)."""
    x = x.reshape(*x.shape[:2], num_parts, attn.num_heads, attn.head_dims)
    return x.permute(2, 0, 3, 1, 4)
