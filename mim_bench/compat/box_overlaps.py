"""Overlaps of boxes with mmcv's signature."""

import torch

FOREGROUND = 1  # mmcv: 0 divides by the union, 1 by the first box


def bbox_overlaps(
    bboxes1: torch.Tensor,
    bboxes2: torch.Tensor,
    ious: torch.Tensor,
    *,
    mode: int,
    aligned: bool,
    offset: int,
) -> None:
    """Write the overlap of boxes to ``ious``.

    Args:
        bboxes1: (m, 4): x1, y1, x2, y2.
        bboxes2: (n, 4).
        ious: Output, (m, n), or (m,) if aligned.
        mode: 0: intersection over union; 1: over the area of the first box.
        aligned: Compare pairs of boxes only; then m = n.
        offset: 1: the last row and column belong to a box; 0: they do not.
    """
    first = bboxes1 if aligned else bboxes1[:, None]
    corner = torch.maximum(first[..., :2], bboxes2[..., :2])
    end = torch.minimum(first[..., 2:], bboxes2[..., 2:])
    overlap = (end - corner + offset).clamp(min=0).prod(-1)
    area = _area(first, offset)
    if mode != FOREGROUND:
        area = area + _area(bboxes2, offset) - overlap
    ious.copy_(overlap / area)


def _area(boxes: torch.Tensor, offset: int) -> torch.Tensor:
    return (boxes[..., 2:] - boxes[..., :2] + offset).prod(-1)
