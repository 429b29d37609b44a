"""The metrics of a segmentation or a detector class by class."""

import numpy as np

from mim_bench.results.outcomes import ClassAreas, Detections, Outcomes
from mim_bench.results.statistics.average_precision import category_precision


def class_scores(outcomes: Outcomes) -> dict[str, np.ndarray]:
    """What each class adds to a mean over classes.

    Args:
        outcomes: Of an evaluation.

    Returns:
        By metric of the record (``mIoU``, ``bbox_mAP``, ``segm_mAP``): (C,) float64 in percent;
        NaN for a class that does not occur. Nothing for a classifier, whose outcomes do not tell
        the classes.
    """
    if isinstance(outcomes, ClassAreas):
        return {'mIoU': 100 * _intersection_over_union(outcomes)}
    if not isinstance(outcomes, Detections):
        return {}
    once = np.ones((1, outcomes.images.num), dtype=np.int32)
    return {
        f'{kind}_mAP': 100 * category_precision(found, outcomes, once)[0].mean(axis=1)
        for kind, found in outcomes.kinds.items()
    }


def _intersection_over_union(areas: ClassAreas) -> np.ndarray:
    correct, predicted, labelled = (
        np.bincount(areas.category, pixels, minlength=areas.num_classes)
        for pixels in (areas.intersection, areas.predicted, areas.labelled)
    )
    union = labelled + predicted - correct
    return np.divide(correct, union, out=np.full(areas.num_classes, np.nan), where=union > 0)
