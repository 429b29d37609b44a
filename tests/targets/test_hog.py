"""Gradient histograms: by pencil, against the plain definition and against mmpretrain."""

import math

import pytest
import torch
from mmpretrain.models.selfsup.maskfeat import HOGGenerator
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.targets.hog import hog_pyramid, sobel_gradients


def make_images(size=(32, 32)) -> torch.Tensor:
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    # Few digits, so that every sum is exact: across a mirrored border the gradient is 0, which
    # is the edge of a bin, and a convolution's rounding would put it on either side.
    return images.mul(64).round() / 64


def plain_hog(images, num_bins, cell, bias=None) -> torch.Tensor:
    """The definition, step by step, with every intermediate map in full."""
    b, c, h, w = images.shape
    kernel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    weight = torch.stack((kernel, kernel.t()))[:, None]
    padded = F.pad(images.reshape(b * c, 1, h, w), (1, 1, 1, 1), mode='reflect')
    x, y = F.conv2d(padded, weight, bias).unbind(1)
    bins = (torch.atan2(x, y) / math.pi * num_bins).floor().long() % num_bins
    magnitude = torch.stack((x, y)).norm(dim=0)
    maps = torch.zeros(b * c, num_bins, h, w)
    maps.scatter_(1, bins[:, None], magnitude[:, None])
    cells = F.normalize(F.avg_pool2d(maps, cell), dim=1, eps=1e-12)
    return cells.reshape(b, c * num_bins, -1).transpose(1, 2)


def test_sobel_gradients_of_a_ramp():
    ramp = torch.arange(4.0).repeat(3, 1)[None, None]  # grows by one a column
    horizontal, vertical = sobel_gradients(ramp)
    # Left less right neighbour, with weights 1 + 2 + 1; nothing across a mirrored border.
    assert horizontal[0, 0].tolist() == [[0, -8, -8, 0]] * 3
    assert (vertical == 0).all()


def test_hog_of_a_ramp_has_one_bin():
    ramp = torch.arange(8.0).repeat(8, 1)[None, None]
    (target,) = hog_pyramid(ramp, 9, [8])
    # atan2(-8, 0) is minus a quarter turn: bin floor(-4.5) mod 9 = 4.
    assert target[0, 0].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_hog_of_a_flat_image_is_zero_and_with_bias_one_hot():
    flat = torch.full((1, 1, 4, 4), 0.3)
    assert (hog_pyramid(flat, 9, [4])[0] == 0).all()
    (target,) = hog_pyramid(flat, 9, [4], [torch.tensor([0.1, 0.2])])
    assert target.flatten().tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0]  # atan(1 / 2) is 26.6 degrees


@pytest.mark.parametrize('num_bins', [9, 18])
def test_hog_pyramid_equals_the_definition_at_every_size(num_bins):
    images = make_images((32, 64))
    cells = (4, 8, 16, 32)
    for cell, target in zip(cells, hog_pyramid(images, num_bins, cells), strict=True):
        torch.testing.assert_close(target, plain_hog(images, num_bins, cell), rtol=0, atol=1e-6)


def test_hog_pyramid_with_biases_gives_each_task_its_own():
    images = make_images()
    biases = [torch.tensor([0.3, -0.2]), None, torch.tensor([-0.1, 0.25])]
    targets = hog_pyramid(images, 18, (8, 16, 16), biases)
    for target, cell, bias in zip(targets, (8, 16, 16), biases, strict=True):
        torch.testing.assert_close(target, plain_hog(images, 18, cell, bias), rtol=0, atol=1e-6)
    assert not torch.allclose(targets[1], targets[2], atol=1e-2)


def test_hog_pyramid_of_sizes_that_are_not_nested():
    images = make_images((24, 24))
    targets = hog_pyramid(images, 9, (6, 4))
    for target, cell in zip(targets, (6, 4), strict=True):
        torch.testing.assert_close(target, plain_hog(images, 9, cell), rtol=0, atol=1e-6)


def test_hog_equals_mmpretrain_without_its_window():
    images = make_images((32, 32))
    generator = HOGGenerator(nbins=9, pool=8, gaussian_window=0)
    generator._reshape = lambda x: x  # its grouping is for tokens of 14 x 14
    expected = generator(images)  # (B, C, bins, rows, cols)
    expected = expected.flatten(3).permute(0, 3, 1, 2).flatten(2)
    torch.testing.assert_close(hog_pyramid(images, 9, [8])[0], expected, rtol=0, atol=1e-6)


def test_hog_pyramid_is_float32_under_autocast():
    images = make_images()
    expected = hog_pyramid(images, 9, [8])[0]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        target = hog_pyramid(images, 9, [8])[0]
    assert target.dtype == torch.float32
    assert torch.equal(target, expected)


def test_hog_pyramid_leaves_the_images_as_they_are():
    images = make_images()
    before = images.clone()
    hog_pyramid(images, 9, [8])
    assert torch.equal(images, before)


def test_hog_pyramid_uneven_image_raises():
    with pytest.raises(ConfigError, match=r'cells of \[16\]'):
        hog_pyramid(make_images((24, 24)), 9, (8, 16))
