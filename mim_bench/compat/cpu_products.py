"""Runs linear layers of any model on a CPU through oneDNN.

torch multiplies dense float32 matrices with MKL, which leaves half of an AMD processor's vector
units idle: 97 against oneDNN's 182 GFLOP/s were measured on a core of an EPYC with AVX-512,
forward and backward, copies to oneDNN's layout included (1576 x 768 by 768 x 3072). Values and
gradients differ in rounding only.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mim_bench.errors import ConfigError

# The first is the default; the second disables this module.
CPU_PRODUCTS = ('onednn', 'torch')
# Below this size, copying to oneDNN's layout costs as much as it gains.
SMALLEST_SIDE = 256
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_ARGUMENTS = ('input', 'weight', 'bias')


def cpu_products(choice: str | None = None) -> AbstractContextManager[Any]:
    """Context that selects the implementation of linear layers on a CPU.

    Only float32 on a CPU is changed: not autocast, other precisions or devices, or functions that
    torch compiles, exports or transforms.

    Args:
        choice: One of ``CPU_PRODUCTS``; a config sets it as ``cpu_products``.

    Raises:
        ConfigError: The word is unknown.
    """
    choice = choice or CPU_PRODUCTS[0]
    if choice not in CPU_PRODUCTS:
        raise ConfigError(f'cpu_products {choice!r} is unknown. Known: {", ".join(CPU_PRODUCTS)}.')
    return OneDnnProducts() if choice == 'onednn' else nullcontext()


def has_wide_layers(model: torch.nn.Module) -> bool:
    """Whether oneDNN could be faster; in small networks the mode costs a quarter of the time."""
    return any(p.dim() == 2 and min(p.shape) >= SMALLEST_SIDE for p in model.parameters())


class OneDnnProducts(TorchFunctionMode):
    """Evaluates ``F.linear``, and so every ``nn.Linear``, through oneDNN where it is faster."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Handle ``F.linear``; all other functions are torch's."""
        kwargs = kwargs or {}
        if func is F.linear and suits_onednn(*args, **kwargs):
            x, weight, bias = (*args, *map(kwargs.get, _ARGUMENTS[len(args) :]))
            return _OneDnnLinear.apply(x, weight, bias)
        return func(*args, **kwargs)


def suits_onednn(
    input: torch.Tensor,  # noqa: A002  as F.linear calls it
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
) -> bool:
    """Whether a linear layer is wide and its input large enough, and plain float32 on a CPU."""
    return (
        input.device.type == 'cpu'
        and input.dtype == weight.dtype == torch.float32
        and weight.dim() == 2
        and input.dim() <= 5  # oneDNN converts no others
        and min(weight.shape) >= SMALLEST_SIDE
        and input.numel() >= SMALLEST_SIDE * weight.shape[1]
        and all(t is None or type(t) in _PLAIN for t in (input, weight, bias))
        and not torch.is_autocast_enabled('cpu')
        and not torch.compiler.is_compiling()  # the compiler's kernels are as fast
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
    )


class _OneDnnLinear(torch.autograd.Function):
    """oneDNN's linear layer with gradients; saves only input and weight."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return F.linear(x.to_mkldnn(), weight, bias).to_dense()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad_x = grad_weight = grad_bias = None
        onednn = grad.contiguous().to_mkldnn()
        if needs_x:
            product = torch.ops.aten.mkldnn_linear_backward_input
            grad_x = product(x.shape, onednn, weight).to_dense()
        if needs_weight:
            product = torch.ops.aten.mkldnn_linear_backward_weights
            grad_weight, grad_bias = product(onednn, x.to_mkldnn(), weight, needs_bias)
        elif needs_bias:
            grad_bias = grad.flatten(0, -2).sum(0)
        return grad_x, grad_weight, grad_bias if needs_bias else None
