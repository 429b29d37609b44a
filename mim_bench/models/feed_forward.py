"""The two-layer network of a transformer block, evaluated with less memory."""

import torch
from mmcv.cnn.bricks.transformer import FFN
from torch import nn

from mim_bench.models.linear import linear


def feed_forward(ffn: FFN, x: torch.Tensor) -> torch.Tensor:
    """What mmcv's two-layer network adds to its input: ``ffn(x, identity=0)``.

    Args:
        ffn: Holds the weights.
        x: (..., C), normalised.

    Returns:
        (..., C), after layer scale and drop path.
    """
    (fc1, activation, drop1), fc2, drop2 = ffn.layers
    hidden = linear(x, fc1.weight, fc1.bias)
    is_gelu = isinstance(activation, nn.GELU) and activation.approximate == 'none'
    if is_gelu and not (drop1.p and drop1.training):
        out = linear(hidden, fc2.weight, fc2.bias, of_gelu=True)
    else:
        out = linear(drop1(activation(hidden)), fc2.weight, fc2.bias)
    return ffn.dropout_layer(ffn.gamma2(drop2(out)))
