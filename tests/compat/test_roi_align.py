import pytest
import torch
from mmcv.ops import RoIAlign

from mim_bench.errors import OperatorUnavailableError

pytestmark = pytest.mark.stack


def bilinear(plane, y, x):
    """The value between the pixels of a (height, width) plane; 0 a pixel or more outside."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return plane.new_zeros(())
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    return (
        plane[top, left] * (1 - down) * (1 - across)
        + plane[top, right] * (1 - down) * across
        + plane[bottom, left] * down * (1 - across)
        + plane[bottom, right] * down * across
    )


def roi_align_by_definition(features, rois, size, scale, sampling_ratio, aligned):
    rows, columns = size
    output = features.new_zeros(len(rois), features.shape[1], rows, columns)
    for r, (image, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (corner * scale - (0.5 if aligned else 0.0) for corner in corners)
        height, width = y2 - y1, x2 - x1
        if not aligned:
            height, width = max(height, 1.0), max(width, 1.0)
        bin_height, bin_width = height / rows, width / columns
        points_y = sampling_ratio or -int(-bin_height // 1)
        points_x = sampling_ratio or -int(-bin_width // 1)
        for channel in range(features.shape[1]):
            plane = features[int(image), channel]
            for i in range(rows):
                for j in range(columns):
                    values = [
                        bilinear(
                            plane,
                            y1 + (i + (p + 0.5) / points_y) * bin_height,
                            x1 + (j + (q + 0.5) / points_x) * bin_width,
                        )
                        for p in range(points_y)
                        for q in range(points_x)
                    ]
                    output[r, channel, i, j] = sum(values) / max(len(values), 1)
    return output


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 2, 6, 7, generator=generator, dtype=torch.float64)


@pytest.fixture
def rois():
    # Inside, reaching out of the image, and smaller than a feature pixel.
    boxes = [[0, 2.0, 1.0, 11.0, 9.5], [1, -6.0, -3.0, 8.0, 20.0], [1, 4.2, 4.4, 4.9, 5.0]]
    return torch.tensor(boxes, dtype=torch.float64)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_roi_align_forward_equals_definition(features, rois, aligned, sampling_ratio):
    pooled = RoIAlign((2, 3), 0.5, sampling_ratio, aligned=aligned)(features, rois)
    expected = roi_align_by_definition(features, rois, (2, 3), 0.5, sampling_ratio, aligned)
    torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_roi_align_backward_equals_gradient_of_definition(features, rois, aligned, sampling_ratio):
    actual = features.clone().requires_grad_()
    expected = features.clone().requires_grad_()
    pooled = RoIAlign((2, 3), 0.5, sampling_ratio, aligned=aligned)(actual, rois)
    weights = torch.rand_like(pooled)
    (pooled * weights).sum().backward()
    defined = roi_align_by_definition(expected, rois, (2, 3), 0.5, sampling_ratio, aligned)
    (defined * weights).sum().backward()
    torch.testing.assert_close(actual.grad, expected.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_roi_align_low_precision_features_keep_their_type(features, rois, dtype):
    low = features.to(dtype).requires_grad_()
    pooled = RoIAlign(2, 0.5)(low, rois.to(dtype))
    pooled.sum().backward()
    assert pooled.dtype == low.grad.dtype == dtype
    # A box's coordinates in bfloat16 are exact to 1/16 pixel at 16.
    full = RoIAlign(2, 0.5)(low.detach().double(), rois.to(dtype).double())
    torch.testing.assert_close(pooled.double(), full, rtol=0, atol=1e-2)


def test_roi_align_no_boxes_gives_empty_output_and_zero_gradient(features):
    leaf = features.requires_grad_()
    pooled = RoIAlign(2)(leaf, features.new_zeros(0, 5))
    pooled.sum().backward()
    assert pooled.shape == (0, 2, 2, 2)
    assert not leaf.grad.any()


def test_roi_align_max_mode_raises(features, rois):
    with pytest.raises(OperatorUnavailableError, match="pool_mode='avg'"):
        RoIAlign(2, pool_mode='max')(features, rois)
