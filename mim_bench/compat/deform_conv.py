"""Deformable convolution v1 and v2 with mmcv's signatures, from torchvision's operator.

Layouts agree in both libraries: offsets are (batch, groups * kernel * (y, x), height,
width), masks (batch, groups * kernel, height, width). mmcv's scratch buffers
(columns, ones) and its ``im2col_step`` have no counterpart and are not used.
"""

from functools import partial
from typing import NamedTuple

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision


class Geometry(NamedTuple):
    """The sizes of a deformable convolution, in the order of torchvision's operator."""

    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int
    group: int
    deformable_group: int


class Gradients(NamedTuple):
    """The gradients, in the order of torchvision's operator."""

    input: torch.Tensor
    weight: torch.Tensor
    offset: torch.Tensor
    mask: torch.Tensor
    bias: torch.Tensor


def deform_conv_forward(
    input: torch.Tensor,  # noqa: A002  mmcv's name
    weight: torch.Tensor,
    offset: torch.Tensor,
    output: torch.Tensor,
    columns: torch.Tensor,
    ones: torch.Tensor,
    **sizes: int,
) -> None:
    """Write the deformable convolution (v1, no mask, no bias) to ``output``.

    Args:
        input: (batch, channels, height, width).
        weight: (outputs, channels / group, kernel height, kernel width).
        offset: How far each kernel point moves, in pixels, y before x.
        output: Output tensor.
        columns: Unused.
        ones: Unused.
        **sizes: mmcv's kW, kH, dW, dH, padW, padH, dilationW, dilationH, group,
            deformable_group, im2col_step.
    """
    output.copy_(_forward(input, weight, offset, None, None, _geometry_v1(sizes)))


def deform_conv_backward_input(
    input: torch.Tensor,  # noqa: A002  mmcv's name
    offset: torch.Tensor,
    grad_output: torch.Tensor,
    grad_input: torch.Tensor,
    grad_offset: torch.Tensor,
    weight: torch.Tensor,
    columns: torch.Tensor,
    **sizes: int,
) -> None:
    """Write the gradients of ``input`` and ``offset``; arguments as forward."""
    grads = _backward(grad_output, input, weight, offset, None, _geometry_v1(sizes))
    grad_input.copy_(grads.input)
    grad_offset.copy_(grads.offset)


def deform_conv_backward_parameters(
    input: torch.Tensor,  # noqa: A002  mmcv's name
    offset: torch.Tensor,
    grad_output: torch.Tensor,
    grad_weight: torch.Tensor,
    columns: torch.Tensor,
    ones: torch.Tensor,
    *,
    scale: float,
    **sizes: int,
) -> None:
    """Add ``scale`` times the gradient of the weight to ``grad_weight``."""
    # mmcv does not pass the weight; the weight's gradient does not depend on it.
    weight = grad_output.new_zeros(grad_weight.shape)
    grads = _backward(grad_output, input, weight, offset, None, _geometry_v1(sizes))
    grad_weight.add_(grads.weight.to(grad_weight.dtype), alpha=scale)


def modulated_deform_conv_forward(
    input: torch.Tensor,  # noqa: A002  mmcv's name
    weight: torch.Tensor,
    bias: torch.Tensor,
    ones: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor,
    output: torch.Tensor,
    columns: torch.Tensor,
    *,
    with_bias: bool,
    **sizes: int,
) -> None:
    """Write the modulated deformable convolution (v2) to ``output``.

    Args:
        input: (batch, channels, height, width).
        weight: (outputs, channels / group, kernel height, kernel width).
        bias: (outputs,); empty without bias.
        ones: Unused.
        offset: How far each kernel point moves, in pixels, y before x.
        mask: Factor of each kernel point.
        output: Output tensor.
        columns: Unused.
        with_bias: Whether to add ``bias``.
        **sizes: mmcv's kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w,
            dilation_h, dilation_w, group, deformable_group.
    """
    geometry = _geometry_v2(sizes)
    output.copy_(_forward(input, weight, offset, mask, bias if with_bias else None, geometry))


def modulated_deform_conv_backward(
    input: torch.Tensor,  # noqa: A002  mmcv's name
    weight: torch.Tensor,
    bias: torch.Tensor,
    ones: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor,
    columns: torch.Tensor,
    grad_input: torch.Tensor,
    grad_weight: torch.Tensor,
    grad_bias: torch.Tensor,
    grad_offset: torch.Tensor,
    grad_mask: torch.Tensor,
    grad_output: torch.Tensor,
    *,
    with_bias: bool,
    **sizes: int,
) -> None:
    """Write all gradients; arguments as forward."""
    grads = _backward(grad_output, input, weight, offset, mask, _geometry_v2(sizes))
    grad_input.copy_(grads.input)
    grad_weight.copy_(grads.weight)
    grad_offset.copy_(grads.offset)
    grad_mask.copy_(grads.mask)
    if with_bias:
        grad_bias.copy_(grads.bias)


def _forward(
    features: torch.Tensor,
    weight: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor | None,
    bias: torch.Tensor | None,
    geometry: Geometry,
) -> torch.Tensor:
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    tensors = _operands(features, weight, offset, mask, bias)
    return torch.ops.torchvision.deform_conv2d(*tensors, *geometry, mask is not None)


def _backward(
    grad: torch.Tensor,
    features: torch.Tensor,
    weight: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor | None,
    geometry: Geometry,
) -> Gradients:
    bias = weight.new_zeros(len(weight))
    tensors = _operands(features, weight, offset, mask, bias)
    operator = torch.ops.torchvision._deform_conv2d_backward
    grads = Gradients(*operator(grad.to(tensors[0].dtype), *tensors, *geometry, mask is not None))
    kernel_size = tuple(weight.shape[2:])
    return grads._replace(offset=grads.offset * _is_inside(tensors[2], kernel_size, geometry))


def _is_inside(
    offset: torch.Tensor, kernel_size: tuple[int, int], geometry: Geometry
) -> torch.Tensor:
    """Whether a kernel point lies beyond -1 in both directions; shaped as the offsets.

    Exactly at -1 the value has a kink: torchvision gives its slope towards the image, mmcv 0.
    """
    count = partial(torch.arange, device=offset.device)
    grid = offset.unflatten(1, (-1, *kernel_size, 2))  # (batch, groups, p, q, 2, height, width)
    y = grid[:, :, :, :, 0] + count(kernel_size[0]).view(-1, 1, 1, 1) * geometry.dilation_h
    y = y + count(offset.shape[2]).view(-1, 1) * geometry.stride_h - geometry.pad_h
    x = grid[:, :, :, :, 1] + count(kernel_size[1]).view(-1, 1, 1) * geometry.dilation_w
    x = x + count(offset.shape[3]) * geometry.stride_w - geometry.pad_w
    return ((y > -1) & (x > -1)).unsqueeze(4).expand_as(grid).reshape(offset.shape)


def _operands(
    features: torch.Tensor,
    weight: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor | None,
    bias: torch.Tensor,
) -> list[torch.Tensor]:
    if mask is None:
        mask = features.new_zeros(len(features), 1)
    # torchvision has no bfloat16 kernel; half is treated alike.
    dtype = features.dtype if features.dtype == torch.float64 else torch.float32
    return [x.to(dtype) for x in (features, weight, offset, mask, bias)]


def _geometry_v1(sizes: dict[str, int]) -> Geometry:
    names = ('dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW', 'group', 'deformable_group')
    return Geometry(*(sizes[name] for name in names))


def _geometry_v2(sizes: dict[str, int]) -> Geometry:
    return Geometry(*(sizes[name] for name in Geometry._fields))
