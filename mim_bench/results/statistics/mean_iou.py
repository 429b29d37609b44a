"""mIoU, aAcc and mAcc of a segmentation on resamples of its images."""

import numpy as np
from scipy import sparse

from mim_bench.results.outcomes import ClassAreas


def segmentation_scores(areas: ClassAreas, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The scores with each image counted as often as its weight says.

    Classes that occur neither in truth nor in prediction are left out of a mean; a mean over
    nothing is NaN.

    Args:
        areas: Of N images.
        weights: (B, N).

    Returns:
        By name of the metric: (B,) float64 in percent.
    """
    correct, predicted, labelled = (
        _class_sums(areas, pixels, weights)
        for pixels in (areas.intersection, areas.predicted, areas.labelled)
    )
    with np.errstate(divide='ignore', invalid='ignore'):
        iou = correct / (labelled + predicted - correct)
        accuracy = correct / labelled
        scores = {
            'mIoU': _mean_of_known(iou),
            'aAcc': correct.sum(axis=1) / labelled.sum(axis=1),
            'mAcc': _mean_of_known(accuracy),
        }
    return {name: 100 * score for name, score in scores.items()}


def _class_sums(areas: ClassAreas, pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B, C) float64 pixels of each class; whole numbers below 2**53, so exact."""
    shape = (areas.images.num, areas.num_classes)
    by_image = sparse.csr_matrix((pixels.astype(np.float64), (areas.image, areas.category)), shape)
    return (by_image.T @ weights.T.astype(np.float64)).T


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over classes without those that are 0 / 0."""
    is_known = ~np.isnan(values)
    return np.where(is_known, values, 0).sum(axis=1) / is_known.sum(axis=1)
