"""NMS from ``torchvision::nms``, and soft-NMS as mmcv defines it, compiled by numba."""

import numpy as np
import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision

from mim_bench.errors import StackError


def nms(
    boxes: torch.Tensor, scores: torch.Tensor, *, iou_threshold: float, offset: int
) -> torch.Tensor:
    """Non-maximum suppression.

    Args:
        boxes: (boxes, 4): x1, y1, x2, y2.
        scores: (boxes,).
        iou_threshold: Boxes that overlap by more than this are dropped.
        offset: Added to widths and heights: 1 where x2 and y2 are the last pixels.

    Returns:
        Indices of the kept boxes, best first.
    """
    # torchvision's CPU kernel supports float32 and float64 only.
    boxes = boxes if boxes.dtype == torch.float64 else boxes.float()
    if offset:
        # A width of x2 - x1 + offset is that of the box with x2 moved by offset.
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torch.ops.torchvision.nms(boxes, scores.to(boxes.dtype), iou_threshold)


def softnms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    dets: torch.Tensor,
    *,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> torch.Tensor:
    """Soft-NMS: lowers the scores of overlapping boxes instead of dropping the boxes.

    Repeatedly the box with the highest score is selected, the scores of the others
    are multiplied by a weight that falls with their overlap with it, and boxes
    under ``min_score`` are removed.

    Args:
        boxes: (boxes, 4): x1, y1, x2, y2; on the CPU.
        scores: (boxes,).
        dets: Output, (boxes, 5): its first rows get box and score, in the order of selection.
        iou_threshold: Overlap above which the naive and linear methods lower a score.
        sigma: Width of the gaussian.
        min_score: Boxes with a lower score are removed.
        method: 0 naive (weight 0), 1 linear (1 - overlap), 2 gaussian
            (exp(-overlap^2 / sigma), at any overlap).
        offset: Added to widths and heights.

    Returns:
        Indices of the boxes in ``dets``.

    Source: Bodla et al., arXiv:1704.04503; mmcv's softnms (csrc/pytorch/cpu/nms.cpp),
        including its order of boxes with equal scores.
    Differs: two boxes without area overlap by 0, where mmcv divides 0 by 0 and the
        gaussian makes the score NaN.
    """
    try:
        from mim_bench.compat.soft_nms import select
    except ImportError as error:
        raise StackError(
            f'Soft-NMS needs numba, which cannot be imported ({error}). Install a numba that suits '
            'your NumPy.'
        ) from error
    # numpy has no bfloat16, in which a detector under autocast scores its proposals.
    boxes, scores = (
        t.detach().to(torch.promote_types(t.dtype, torch.float32)).numpy() for t in (boxes, scores)
    )
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1 + offset) * (y2 - y1 + offset)
    rows = np.column_stack((boxes, areas, scores))
    order = np.arange(len(rows))
    num_boxes = select(
        rows, order, method, *map(rows.dtype.type, (iou_threshold, sigma, min_score, offset))
    )
    dets[:num_boxes] = torch.from_numpy(rows[:num_boxes, [0, 1, 2, 3, 5]])
    return torch.from_numpy(order[:num_boxes])
