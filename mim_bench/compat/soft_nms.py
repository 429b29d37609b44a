"""The loop of soft-NMS."""

import numpy as np

from mim_bench.compat.compiled import compiled

NAIVE, LINEAR, GAUSSIAN = 0, 1, 2  # mmcv's numbers


@compiled
def _overlap(boxes: np.ndarray, i: int, k: int, offset: float) -> float:
    """Intersection over union of two rows; 0 where they do not meet or have no area."""
    none = boxes.dtype.type(0)
    width = min(boxes[i, 2], boxes[k, 2]) - max(boxes[i, 0], boxes[k, 0]) + offset
    if width <= 0:
        return none
    height = min(boxes[i, 3], boxes[k, 3]) - max(boxes[i, 1], boxes[k, 1]) + offset
    if height <= 0:
        return none
    union = boxes[i, 4] + boxes[k, 4] - width * height
    return none if union == 0 else width * height / union


@compiled
def select(
    boxes: np.ndarray,
    order: np.ndarray,
    method: int,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    offset: float,
) -> int:
    """Select boxes and lower the scores of the others, in place.

    The settings are those of :func:`mim_bench.compat.nms.softnms`, numbers of the boxes' type.

    Args:
        boxes: (boxes, 6): x1, y1, x2, y2, area, score.
        order: (boxes,): their numbers.
        method: See above.
        iou_threshold: See above.
        sigma: See above.
        min_score: See above.
        offset: See above.

    Returns:
        How many rows are kept: the first ones, in the order of selection.
    """
    num_boxes, one = len(boxes), boxes.dtype.type(1)  # a literal has another type
    best = int(boxes[:, 5].argmax()) if num_boxes else 0
    fixed = 0
    while fixed < num_boxes:
        order[fixed], order[best] = order[best], order[fixed]
        for k in range(6):
            boxes[fixed, k], boxes[best, k] = boxes[best, k], boxes[fixed, k]
        best = i = fixed + 1
        while i < num_boxes:
            overlap = _overlap(boxes, fixed, i, offset)
            if method == GAUSSIAN:
                if overlap > 0:
                    boxes[i, 5] *= np.exp(-(overlap * overlap) / sigma)
            elif overlap >= iou_threshold:
                boxes[i, 5] *= one - (one if method == NAIVE else overlap)
            if boxes[i, 5] < min_score:
                num_boxes -= 1  # the last one takes the place
                order[i], boxes[i] = order[num_boxes], boxes[num_boxes]
                continue
            if boxes[i, 5] > boxes[best, 5]:
                best = i
            i += 1
        fixed += 1
    return num_boxes
