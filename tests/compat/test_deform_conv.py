import math

import pytest
import torch
from mmcv.ops import (
    DeformConv2d,
    DeformConv2dPack,
    ModulatedDeformConv2d,
    ModulatedDeformConv2dPack,
    deform_conv2d,
    modulated_deform_conv2d,
)

pytestmark = pytest.mark.stack


def sample(plane, y, x):
    """Bilinear value of a (height, width) plane at tensors y, x; pixels outside are 0."""
    value = plane.new_zeros(())
    top, left = math.floor(y.item()), math.floor(x.item())
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                share = (1 - (y - row).abs()) * (1 - (x - column).abs())
                value = value + share * plane[row, column]
    return value


def deform_conv_by_definition(
    features, offset, mask, weight, bias, stride, padding, dilation, groups, deform_groups
):
    outputs, group_channels, kernel_h, kernel_w = weight.shape
    batch, channels = features.shape[:2]
    values = []
    for n in range(batch):
        for out in range(outputs):
            first = out // (outputs // groups) * group_channels
            for i in range(offset.shape[2]):
                for j in range(offset.shape[3]):
                    total = bias[out]
                    for c in range(first, first + group_channels):
                        part = c // (channels // deform_groups)
                        for p in range(kernel_h):
                            for q in range(kernel_w):
                                point = (part * kernel_h + p) * kernel_w + q
                                move_y, move_x = offset[n, 2 * point : 2 * point + 2, i, j]
                                y = i * stride[0] - padding[0] + p * dilation[0] + move_y
                                x = j * stride[1] - padding[1] + q * dilation[1] + move_x
                                value = sample(features[n, c], y, x) * mask[n, point, i, j]
                                total = total + weight[out, c - first, p, q] * value
                    values.append(total)
    return torch.stack(values).view(batch, outputs, *offset.shape[2:])


# stride, padding, dilation (each y, x), groups, deform_groups
GEOMETRIES = [
    ((1, 1), (1, 1), (1, 1), 1, 1),
    ((2, 1), (1, 0), (1, 1), 2, 1),
    ((1, 2), (2, 1), (2, 1), 1, 2),
    ((2, 2), (0, 2), (1, 2), 2, 2),
]


def operands(stride, padding, dilation, groups, deform_groups):
    torch.manual_seed(0)
    size = [
        (4 + 2 * p - d * 2 - 1) // s + 1 for s, p, d in zip(stride, padding, dilation, strict=True)
    ]
    double = {'dtype': torch.float64}
    tensors = {
        'features': torch.randn(2, 2, 4, 4, **double),
        # Up to several pixels, so that points leave the image.
        'offset': 2 * torch.randn(2, deform_groups * 18, *size, **double),
        'mask': torch.rand(2, deform_groups * 9, *size, **double),
        'weight': torch.randn(2, 2 // groups, 3, 3, **double),
        'bias': torch.randn(2, **double),
    }
    return {name: tensor.requires_grad_() for name, tensor in tensors.items()}


def gradients(output, tensors):
    # An uneven weighting, so that no two outputs are interchangeable.
    weighting = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return torch.autograd.grad((output * weighting).sum(), tensors)


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_deform_conv_v2_equals_definition(geometry):
    x = operands(*geometry)
    leaves = [x['features'], x['offset'], x['mask'], x['weight'], x['bias']]
    output = modulated_deform_conv2d(*leaves, *geometry)
    expected = deform_conv_by_definition(*leaves, *geometry)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    for actual, defined in zip(gradients(output, leaves), gradients(expected, leaves), strict=True):
        torch.testing.assert_close(actual, defined, rtol=0, atol=1e-12)


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_deform_conv_v1_is_v2_without_mask_and_bias(geometry):
    x = operands(*geometry)
    mask, bias = torch.ones_like(x['mask']), torch.zeros_like(x['bias'])
    leaves = [x['features'], x['offset'], x['weight']]
    output = deform_conv2d(*leaves, *geometry)
    expected = modulated_deform_conv2d(*leaves[:2], mask, leaves[2], bias, *geometry)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    for actual, other in zip(gradients(output, leaves), gradients(expected, leaves), strict=True):
        torch.testing.assert_close(actual, other, rtol=0, atol=1e-12)


def test_deform_conv_v2_without_bias_equals_zero_bias():
    x = operands(*GEOMETRIES[0])
    inputs = [x['features'], x['offset'], x['mask'], x['weight']]
    without = modulated_deform_conv2d(*inputs, None, 1, 1)
    with_zero = modulated_deform_conv2d(*inputs, torch.zeros_like(x['bias']), 1, 1)
    torch.testing.assert_close(without, with_zero, rtol=0, atol=0)
    assert all(gradient.any() for gradient in gradients(without, inputs))


def test_deform_conv_zero_offset_is_plain_convolution():
    torch.manual_seed(0)
    layer = DeformConv2d(4, 6, 3, padding=1, groups=2)
    features = torch.randn(2, 4, 5, 5)
    output = layer(features, torch.zeros(2, 18, 5, 5))
    expected = torch.nn.functional.conv2d(features, layer.weight, padding=1, groups=2)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


def test_modulated_deform_conv_bfloat16_offset_gives_bfloat16_output():
    layer = ModulatedDeformConv2d(4, 2, 3, padding=1)
    low = torch.bfloat16
    output = layer(
        torch.rand(1, 4, 5, 5), torch.zeros(1, 18, 5, 5, dtype=low), torch.ones(1, 9, 5, 5)
    )
    output.sum().backward()
    assert output.dtype == low
    assert layer.weight.grad.dtype == torch.float32


def test_deform_conv_v2_at_whole_pixels_has_mmcvs_gradients():
    """The numbers of mmcv's tests/test_ops/test_modulated_deform_conv.py."""
    layer = ModulatedDeformConv2dPack(1, 1, 2, padding=1, bias=False)
    torch.nn.init.ones_(layer.weight)
    features = torch.tensor([[[[1.0, 2.0, 3.0]] * 3]], requires_grad=True)
    output = layer(features)
    output.sum().backward()
    outer, inner = [0.5, 1.5, 2.5, 1.5], [1.0, 3.0, 5.0, 3.0]
    assert output.tolist() == [[[outer, inner, inner, outer]]]
    assert features.grad.tolist() == [[[[2.0] * 3] * 3]]
    assert layer.weight.grad.tolist() == [[[[9.0] * 2] * 2]]
    assert layer.conv_offset.bias.grad.tolist() == [*[-3.0, -1.5] * 4, *[4.5] * 4]
    expected = [
        [-7.0, -4.0, 0.0, 0.0], [-9.0, 7.5, -6.0, 5.0], [-4.0, -7.0, 0.0, 0.0],
        [-7.5, -9.0, -5.0, -6.0], [-7.0, -4.0, -7.0, -4.0], [-6.0, 5.0, -9.0, 7.5],
        [-4.0, -7.0, -4.0, -7.0], [-5.0, -6.0, -7.5, -9.0], [10.5, 6.0, 7.0, 4.0],
        [6.0, 10.5, 4.0, 7.0], [7.0, 4.0, 10.5, 6.0], [4.0, 7.0, 6.0, 10.5],
    ]  # fmt: skip
    assert layer.conv_offset.weight.grad.flatten(1).tolist() == expected


def test_deform_conv_v1_has_mmcvs_numbers():
    """The numbers of mmcv's tests/test_ops/test_deform_conv.py."""
    layer = DeformConv2dPack(1, 1, 2).double()
    offsets = [
        [0.1, 0.4, 0.6, 0.1], [0.3, 0.2, 0.1, 0.3], [0.5, 0.5, 0.2, 0.8], [0.8, 0.3, 0.9, 0.1],
        [0.3, 0.1, 0.2, 0.5], [0.3, 0.7, 0.5, 0.3], [0.6, 0.2, 0.5, 0.3], [0.4, 0.1, 0.8, 0.4],
    ]  # fmt: skip
    for parameter, values in (
        (layer.conv_offset.weight, offsets),
        (layer.conv_offset.bias, [0.7, 0.1, 0.8, 0.5, 0.6, 0.5, 0.4, 0.7]),
        (layer.weight, [0.4, 0.2, 0.1, 0.9]),
    ):
        parameter.data = torch.tensor(values, dtype=torch.double).view_as(parameter)
    features = [[[[1.0, 2.0, 3.0], [0.0, 1.0, 2.0], [3.0, 5.0, 2.0]]]]
    features = torch.tensor(features, dtype=torch.double, requires_grad=True)
    output = layer(features)
    output.sum().backward()
    slopes = [1.44, -0.72, 0.0, 0.0, -0.10, -0.08, -0.54, -0.54]
    for found, expected in (
        (output, [1.65, 0.0, 0.0, 0.0]),
        (features.grad, [-0.666, 0.204, 0.0, 0.03, -0.416, 0.012, 0.0, 0.252, 0.129]),
        (layer.weight.grad, [3.62, 0.0, 0.40, 0.18]),
        (layer.conv_offset.bias.grad, slopes),
        (layer.conv_offset.weight.grad, [s * x for s in slopes for x in (1, 2, 0, 1)]),
    ):
        expected = torch.tensor(expected, dtype=torch.double).view_as(found)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
