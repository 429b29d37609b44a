"""NMS from ``torchvision::nms``, and soft-NMS as mmcv defines it, in numpy."""

import numpy as np
import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision

NAIVE, LINEAR, GAUSSIAN = 0, 1, 2  # mmcv's numbers


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
    # numpy has no bfloat16, in which a detector under autocast scores its proposals.
    boxes, scores = (
        t.detach().to(torch.promote_types(t.dtype, torch.float32)) for t in (boxes, scores)
    )
    coordinates = boxes.numpy().T
    x1, y1, x2, y2 = coordinates
    areas = (x2 - x1 + offset) * (y2 - y1 + offset)
    # Columns are boxes, columns [0, fixed) are final, columns from num_boxes on removed.
    state = np.stack([*coordinates, areas, scores.numpy()])
    order = np.arange(len(areas))
    num_boxes = len(order)
    fixed = 0
    while fixed < num_boxes:
        best = fixed + int(state[5, fixed:num_boxes].argmax())
        swap = [best, fixed]
        state[:, [fixed, best]] = state[:, swap]
        order[[fixed, best]] = order[swap]
        fixed += 1
        rest = state[:, fixed:num_boxes]
        rest[5] *= _weight(
            _overlap(state[:, fixed - 1], rest, offset), iou_threshold, sigma, method
        )
        is_removed = rest[5] < min_score
        if is_removed.any():
            num_boxes = _remove(is_removed, rest, order[fixed:num_boxes]) + fixed
    result = np.concatenate([state[:4, :num_boxes], state[5:, :num_boxes]]).T
    dets[:num_boxes] = torch.from_numpy(result)
    return torch.from_numpy(order[:num_boxes].copy())


def _overlap(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    """Intersection over union of one column with others; rows x1, y1, x2, y2, area, score."""
    width = np.minimum(box[2], others[2]) - np.maximum(box[0], others[0]) + offset
    height = np.minimum(box[3], others[3]) - np.maximum(box[1], others[1]) + offset
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    union = box[4] + others[4] - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union != 0)


def _weight(overlap: np.ndarray, iou_threshold: float, sigma: float, method: int) -> np.ndarray:
    if method == GAUSSIAN:
        return np.exp(-(overlap * overlap) / sigma)
    lowered = np.zeros_like(overlap) if method == NAIVE else 1 - overlap
    return np.where(overlap >= iou_threshold, lowered, np.ones_like(overlap))


def _remove(is_removed: np.ndarray, rest: np.ndarray, order: np.ndarray) -> int:
    """Overwrite removed columns with the last kept ones, as mmcv does; the number of kept ones."""
    num_kept = int((~is_removed).sum())
    holes = np.flatnonzero(is_removed[:num_kept])
    fillers = num_kept + np.flatnonzero(~is_removed[num_kept:])[::-1]
    rest[:, holes] = rest[:, fillers]
    order[holes] = order[fillers]
    return num_kept
