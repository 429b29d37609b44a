"""The two-layer network of a transformer block, evaluated with less memory."""

import torch
from mmcv.cnn.bricks.transformer import FFN
from torch import nn
from torch.nn import functional as F

from mim_bench.models.linear import is_plain_cpu, linear

# Up to this width the first layer is computed again in the backward pass: its output is the
# largest tensor of the block and, so narrow, the cheapest (bytes kept over operations: 2 / width).
NARROW = 64


def feed_forward(ffn: FFN, x: torch.Tensor) -> torch.Tensor:
    """What mmcv's two-layer network adds to its input: ``ffn(x, identity=0)``.

    Args:
        ffn: Holds the weights.
        x: (..., C), normalised.

    Returns:
        (..., C), after layer scale and drop path.
    """
    (fc1, activation, drop1), fc2, drop2 = ffn.layers
    is_gelu = isinstance(activation, nn.GELU) and activation.approximate == 'none'
    if not is_gelu or (drop1.p and drop1.training):
        hidden = drop1(activation(linear(x, fc1.weight, fc1.bias)))
        out = linear(hidden, fc2.weight, fc2.bias)
    elif fc1.in_features <= NARROW and is_plain_cpu(x, fc1.weight):
        out = _NarrowFeedForward.apply(x, fc1.weight, fc1.bias, fc2.weight, fc2.bias)
    else:
        hidden = linear(x, fc1.weight, fc1.bias)
        out = linear(hidden, fc2.weight, fc2.bias, of_gelu=True)
    return ffn.dropout_layer(ffn.gamma2(drop2(out)))


class _NarrowFeedForward(torch.autograd.Function):
    """Keeps the input and the parameters only."""

    @staticmethod
    def forward(ctx, x, weight1, bias1, weight2, bias2):
        ctx.save_for_backward(x, weight1, bias1, weight2)
        return F.linear(F.gelu(F.linear(x, weight1, bias1)), weight2, bias2)

    @staticmethod
    def backward(ctx, grad):
        x, weight1, bias1, weight2 = ctx.saved_tensors
        shape, x, grad = x.shape, x.flatten(0, -2), grad.flatten(0, -2)
        hidden = F.linear(x, weight1, bias1)
        grad_weight2, grad_bias2 = grad.t() @ F.gelu(hidden), grad.sum(0)
        grad = torch.ops.aten.gelu_backward(grad @ weight2, hidden)
        del hidden
        return (grad @ weight1).view(shape), grad.t() @ x, grad.sum(0), grad_weight2, grad_bias2
