"""RoIAlign with mmcv's signature, from ``torchvision::roi_align``.

Both libraries implement the same definition: a box is divided into bins, a bin into
``sampling_ratio`` x ``sampling_ratio`` points (as many as pixels when 0), each
point is interpolated bilinearly, and a bin is the mean of its points.
"""

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision

from mim_bench.errors import OperatorUnavailableError

AVERAGE = 1  # mmcv: 0 is max, 1 is average


def roi_align_forward(
    input: torch.Tensor,  # noqa: A002  mmcv's keyword
    rois: torch.Tensor,
    output: torch.Tensor,
    argmax_y: torch.Tensor,
    argmax_x: torch.Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Pool the features of each box to one size.

    Args:
        input: Features (batch, channels, height, width).
        rois: Boxes (boxes, 5): image index, x1, y1, x2, y2 in image pixels.
        output: Output, (boxes, channels, aligned_height, aligned_width).
        argmax_y: Unused: belongs to max pooling.
        argmax_x: Unused: belongs to max pooling.
        aligned_height: Bins in a column.
        aligned_width: Bins in a row.
        spatial_scale: Feature pixels in one image pixel.
        sampling_ratio: Points in a bin along each side; 0 or less for one a pixel.
        pool_mode: 1, the mean.
        aligned: True shifts boxes by half a pixel, so that they fit pixel centres.

    Raises:
        OperatorUnavailableError: ``pool_mode`` is 0 (max).
    """
    _require_average(pool_mode)
    features = _computable(input)
    pooled = torch.ops.torchvision.roi_align(
        features,
        rois.to(features.dtype),
        spatial_scale,
        aligned_height,
        aligned_width,
        sampling_ratio,
        aligned,
    )
    output.copy_(pooled)


def roi_align_backward(
    grad_output: torch.Tensor,
    rois: torch.Tensor,
    argmax_y: torch.Tensor,
    argmax_x: torch.Tensor,
    grad_input: torch.Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient of the features to ``grad_input``; other arguments as forward.

    Raises:
        OperatorUnavailableError: ``pool_mode`` is 0 (max).
    """
    _require_average(pool_mode)
    grad = _computable(grad_output)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad,
            rois.to(grad.dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def _require_average(pool_mode: int) -> None:
    if pool_mode != AVERAGE:
        raise OperatorUnavailableError(
            "RoIAlign was called with pool_mode='max', which torchvision's operator does not "
            "have. Set pool_mode='avg' in the model's roi_layer, or install a compiled mmcv."
        )


def _computable(tensor: torch.Tensor) -> torch.Tensor:
    # torchvision has no bfloat16 kernel, and half loses boxes' sub-pixel parts.
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
