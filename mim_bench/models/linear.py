"""A linear layer that is as fast as the processor allows."""

import torch
from torch.nn import functional as F

# Below, copying to oneDNN's layout costs as much as it gains.
SMALLEST_SIDE = 256


def linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    scale: torch.Tensor | None = None,
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

    Returns:
        (..., out).
    """
    if _suits_onednn(x, weight):
        return _OneDnnLinear.apply(x, weight, bias, scale)
    return F.linear(x, *_scaled(weight, bias, scale))


def _suits_onednn(x: torch.Tensor, weight: torch.Tensor) -> bool:
    return (
        x.device.type == 'cpu'
        and x.dtype == weight.dtype == torch.float32
        and min(weight.shape) >= SMALLEST_SIDE
        and x.numel() >= SMALLEST_SIDE * weight.shape[1]
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and not torch.is_autocast_enabled('cpu')
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
    def forward(ctx, x, weight, bias, scale):
        ctx.save_for_backward(x, weight, bias, scale)
        return F.linear(x.to_mkldnn(), *_scaled(weight, bias, scale)).to_dense()

    @staticmethod
    def backward(ctx, grad):
        x, weight, bias, scale = ctx.saved_tensors
        grad, grad_x = grad.contiguous().to_mkldnn(), None
        if ctx.needs_input_grad[0]:
            scaled, _ = _scaled(weight, None, scale)
            grad_x = torch.ops.aten.mkldnn_linear_backward_input(x.shape, grad, scaled).to_dense()
        grad_weight, grad_bias = torch.ops.aten.mkldnn_linear_backward_weights(
            grad, x.to_mkldnn(), weight, bias is not None
        )
        if bias is None:
            grad_bias = None  # not the empty tensor that oneDNN gives
        if scale is None:
            return grad_x, grad_weight, grad_bias, None
        grad_scale = torch.linalg.vecdot(grad_weight, weight)
        if bias is not None:
            grad_scale += bias * grad_bias
            grad_bias = scale * grad_bias
        return grad_x, grad_weight.mul_(scale[:, None]), grad_bias, grad_scale
