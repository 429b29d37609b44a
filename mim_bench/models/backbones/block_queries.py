"""The blocks of a plain transformer, evaluated faster, and at some of their tokens only."""

import torch
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import MultiheadAttention
from torch.nn import functional as F

from mim_bench.models.feed_forward import feed_forward
from mim_bench.models.linear import linear


def forward_block(layer: TransformerEncoderLayer, tokens: torch.Tensor) -> torch.Tensor:
    """What a block gives: the numbers of ``layer(tokens)``, with fewer copies.

    Queries, keys and values are cut out of the projection without moving them, so their
    gradients are written together once; mmpretrain's indexing fills three times as much with
    zeros and adds.

    Args:
        layer: A block of mmpretrain's ``VisionTransformer``, with its two-layer MLP.
        tokens: (B, L, C).

    Returns:
        (B, L, C).
    """
    qkv = layer.attn.qkv
    q, k, v = linear(layer.ln1(tokens), qkv.weight, qkv.bias).chunk(3, dim=-1)
    return rest_of_block(layer, tokens, (q, k, v))


def forward_queries(
    layer: TransformerEncoderLayer, tokens: torch.Tensor, queries: torch.Tensor
) -> torch.Tensor:
    """What a block gives at some tokens, which attend to all.

    For the last block of a network whose other outputs nobody reads: their queries, their
    projection and their MLP are left out. The numbers are those of ``layer(tokens)``.

    Args:
        layer: A block of mmpretrain's ``VisionTransformer``, with its two-layer MLP.
        tokens: (B, L, C), the input of the block.
        queries: (B, Q, C), those of ``tokens`` at which the output is wanted.

    Returns:
        (B, Q, C).
    """
    attn = layer.attn
    sizes = (attn.embed_dims, 2 * attn.embed_dims)
    biases = (None, None) if attn.qkv.bias is None else attn.qkv.bias.split(sizes)
    weights = attn.qkv.weight.split(sizes)
    q = linear(layer.ln1(queries), weights[0], biases[0])
    k, v = linear(layer.ln1(tokens), weights[1], biases[1]).chunk(2, dim=-1)
    return rest_of_block(layer, queries, (q, k, v))


def rest_of_block(
    layer: TransformerEncoderLayer, x: torch.Tensor, qkv: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    """From the projected (B, Q, C), (B, L, C), (B, L, C) to the output, like ``x`` (B, Q, C)."""
    attn: MultiheadAttention = layer.attn
    q, k, v = (part.unflatten(2, (attn.num_heads, -1)).transpose(1, 2) for part in qkv)
    dropout = attn.attn_drop if attn.training else 0.0
    mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    mixed = mixed.transpose(1, 2).flatten(2)  # (B, heads, Q, d) -> (B, Q, C)
    mixed = linear(mixed, attn.proj.weight, attn.proj.bias)
    x = x + attn.out_drop(attn.gamma1(attn.proj_drop(mixed)))
    return x + feed_forward(layer.ffn, layer.ln2(x))
