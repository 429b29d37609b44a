"""A linear layer that is as fast as the processor allows."""

import torch
from torch import nn
from torch.nn import functional as F

# Below, copying to oneDNN's layout costs as much as it gains.
SMALLEST_SIDE = 256


def linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    scale: torch.Tensor | None = None,
    of_gelu: bool = False,
) -> torch.Tensor:
    """``scale * F.linear(x, weight, bias)``, through oneDNN for float32 on a CPU.

    torch multiplies dense float32 matrices with MKL, which leaves half of an AMD processor's
    vector units idle: 97 against 182 GFLOP/s were measured on a core of an EPYC with AVX-512,
    forward and backward, copies included (1576 x 768 by 768 x 3072). The numbers differ in
    rounding only.

    Args:
        x: (..., in).
        weight: (out, in).
        bias: (out,).
        scale: (out,), a layer scale. It multiplies the weights, which are fewer than the
            outputs of a batch, and nothing is kept of the outputs.
        of_gelu: Multiply ``F.gelu(x)`` in place of ``x``. On a CPU only ``x`` is kept, and the
            activation computed again: of a block's memory about a quarter is saved.

    Returns:
        (..., out).
    """
    if _suits_onednn(x, weight):
        return _OneDnnLinear.apply(x, weight, bias, scale, of_gelu)
    if of_gelu and scale is None and is_plain_cpu(x, weight):
        return _LinearOfGelu.apply(x, weight, bias)
    return F.linear(F.gelu(x) if of_gelu else x, *_scaled(weight, bias, scale))


class Linear(nn.Linear):
    """torch's linear layer, evaluated by :func:`linear`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out)."""
        return linear(x, self.weight, self.bias)


def use_fast_linear(module: nn.Module) -> None:
    """Let all linear layers below a module compute through :func:`linear`.

    For networks put together from mmpretrain's blocks. Parameters stay the very same, and so
    do the keys of the state dict.
    """
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear) and not isinstance(child, Linear):
                fast = Linear(1, 1, bias=child.bias is not None, device='meta')
                fast.in_features, fast.out_features = child.in_features, child.out_features
                fast.weight, fast.bias = child.weight, child.bias
                setattr(parent, name, fast)


def _suits_onednn(x: torch.Tensor, weight: torch.Tensor) -> bool:
    return (
        is_plain_cpu(x, weight)
        and min(weight.shape) >= SMALLEST_SIDE
        and x.numel() >= SMALLEST_SIDE * weight.shape[1]
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
    )


def is_plain_cpu(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Float32 on a CPU, run as it is written."""
    return (
        x.device.type == 'cpu'
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled('cpu')
        and not torch.compiler.is_compiling()  # its own kernels are as fast
    )


def _scaled(
    weight: torch.Tensor, bias: torch.Tensor | None, scale: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    if scale is None:
        return weight, bias
    return scale[:, None] * weight, None if bias is None else scale * bias


class _OneDnnLinear(torch.autograd.Function):
    """Keeps the input and the parameters only; torch's own tensors of oneDNN are kept twice."""

    @staticmethod
    def forward(ctx, x, weight, bias, scale, of_gelu):
        ctx.save_for_backward(x, weight, bias, scale)
        ctx.of_gelu = of_gelu
        factor = F.gelu(x) if of_gelu else x
        return F.linear(factor.to_mkldnn(), *_scaled(weight, bias, scale)).to_dense()

    @staticmethod
    def backward(ctx, grad):
        x, weight, bias, scale = ctx.saved_tensors
        grad, grad_x = grad.contiguous().to_mkldnn(), None
        if ctx.needs_input_grad[0]:
            scaled, _ = _scaled(weight, None, scale)
            grad_x = torch.ops.aten.mkldnn_linear_backward_input(x.shape, grad, scaled).to_dense()
            if ctx.of_gelu:
                grad_x = torch.ops.aten.gelu_backward(grad_x, x)
        factor = F.gelu(x) if ctx.of_gelu else x
        grad_weight, grad_bias = torch.ops.aten.mkldnn_linear_backward_weights(
            grad, factor.to_mkldnn(), weight, bias is not None
        )
        if bias is None:
            grad_bias = None  # not the empty tensor that oneDNN gives
        if scale is None:
            return grad_x, grad_weight, grad_bias, None, None
        grad_scale = torch.linalg.vecdot(grad_weight, weight)
        if bias is not None:
            grad_scale += bias * grad_bias
            grad_bias = scale * grad_bias
        return grad_x, grad_weight.mul_(scale[:, None]), grad_bias, grad_scale, None


class _LinearOfGelu(torch.autograd.Function):
    """Keeps the input of the activation and the parameters only."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return F.linear(F.gelu(x), weight, bias)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad_x = torch.ops.aten.gelu_backward(grad @ weight, x)
        grad = grad.flatten(0, -2)
        grad_weight = grad.t() @ F.gelu(x).flatten(0, -2)
        return grad_x, grad_weight, grad.sum(0) if ctx.needs_input_grad[2] else None
