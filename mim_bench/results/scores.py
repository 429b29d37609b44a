"""The metrics of outcomes on resamples of the images, and class by class.

mIoU sums the pixels of each class over the images of a resample. COCO's average precision is
computed without matching anything again: an image that a resample holds w times brings each of its
detections w times. Precision of equal detections in a row only rises (right ones) or only falls
(wrong ones), so the envelope over all of them is that at their ends, and cumulative sums of weights
replace the copies exactly. Only right detections can be where the envelope is reached, so the sums
over all detections, which all thresholds share, are read at those alone.
"""

import numpy as np
from scipy import sparse

from mim_bench.results.outcomes import ClassAreas, Detections, MatchedDetections, Outcomes

RECALLS = np.linspace(0, 1, 101)
_TINY = np.spacing(1)


def class_scores(outcomes: Outcomes) -> dict[str, np.ndarray]:
    """What each class adds to a mean over classes.

    Returns:
        By metric of the record (``mIoU``, ``bbox_mAP``, ``segm_mAP``): (C,) float64 in percent;
        NaN for a class that does not occur. Nothing for a classifier, whose outcomes do not tell
        the classes.
    """
    if not isinstance(outcomes, ClassAreas | Detections):
        return {}
    once = np.ones((1, outcomes.images.num), dtype=np.int32)
    if isinstance(outcomes, ClassAreas):
        return {'mIoU': 100 * _shares(outcomes, once)[0][0]}
    return {
        f'{kind}_mAP': 100 * _category_precision(found, outcomes, once)[0].mean(axis=1)
        for kind, found in outcomes.kinds.items()
    }


def segmentation_scores(areas: ClassAreas, weights: np.ndarray) -> dict[str, np.ndarray]:
    """mIoU, aAcc and mAcc with each image counted as often as its weight says.

    Classes that occur neither in truth nor in prediction are left out of a mean; a mean over
    nothing is NaN.

    Args:
        areas: Outcomes of N images.
        weights: (B, N).

    Returns:
        By name of the metric: (B,) float64 in percent.
    """
    iou, accuracy, pixel_accuracy = _shares(areas, weights)
    scores = {'mIoU': _mean_of_known(iou), 'aAcc': pixel_accuracy, 'mAcc': _mean_of_known(accuracy)}
    return {name: 100 * score for name, score in scores.items()}


def _shares(areas: ClassAreas, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """IoU and accuracy of each class, (B, C), and accuracy of all pixels, (B,); 0 / 0 is NaN."""
    shape = (areas.images.num, areas.num_classes)
    factors = weights.T.astype(np.float64)
    correct, predicted, labelled = (
        # Whole numbers below 2**53, so exact.
        (sparse.csr_matrix((column.astype(np.float64), (areas.image, areas.category)), shape).T
         @ factors).T
        for column in (areas.intersection, areas.predicted, areas.labelled)
    )  # fmt: skip
    with np.errstate(divide='ignore', invalid='ignore'):
        iou = correct / (labelled + predicted - correct)
        return iou, correct / labelled, correct.sum(axis=1) / labelled.sum(axis=1)


def detection_scores(detections: Detections, weights: np.ndarray) -> dict[str, np.ndarray]:
    """AP with each image counted as often as its weight says.

    Categories without an object in the resample are left out of the mean; a mean over nothing
    is NaN.

    Args:
        detections: Of N images.
        weights: (B, N) whole numbers.

    Returns:
        By name of the metric: (B,) float64 in percent.
    """
    scores = {}
    for kind, found in detections.kinds.items():
        precision = _category_precision(found, detections, weights)
        for suffix, at in detections.suffixes.items():
            scores[f'{kind}_mAP{suffix}'] = 100 * _mean_of_known(precision[:, :, at].mean(axis=2))
    return scores


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """(B,) mean over classes without those that are NaN; NaN where all are."""
    is_known = ~np.isnan(values)
    with np.errstate(invalid='ignore'):
        return np.where(is_known, values, 0).sum(axis=1) / is_known.sum(axis=1)


def _category_precision(
    found: MatchedDetections, detections: Detections, weights: np.ndarray
) -> np.ndarray:
    """Average precision of each category at each threshold, 0 to 1, with weights (B, N).

    Returns:
        (B, K, T) float64; NaN for a category without an object.
    """
    num_categories, num_thresholds = detections.num_categories, len(detections.thresholds)
    result = np.full((len(weights), num_categories, num_thresholds), np.nan)
    weights = np.ascontiguousarray(weights, dtype=np.int32)
    bounds = np.arange(num_categories + 1)
    starts = np.searchsorted(found.category, bounds)
    order = np.argsort(found.truth_category, kind='stable')
    truth_starts = np.searchsorted(found.truth_category[order], bounds)
    for category in range(num_categories):
        truth = order[truth_starts[category] : truth_starts[category + 1]]
        if not len(truth):
            continue
        num_objects = weights[:, found.truth_image[truth]] @ found.truth_count[truth].astype(int)
        rows = slice(starts[category], starts[category + 1])
        result[:, category] = _one_category(
            weights,
            found.image[rows],
            _bits(found.matched[rows], num_thresholds),
            _bits(found.ignored[rows], num_thresholds),
            num_objects,
        )
    return result


def _bits(words: np.ndarray, count: int) -> np.ndarray:
    """(D,) words -> (count, D) bool."""
    return (words[None] >> np.arange(count, dtype=np.uint16)[:, None] & 1).astype(bool)


def _one_category(
    weights: np.ndarray,
    image: np.ndarray,
    matched: np.ndarray,
    ignored: np.ndarray,
    num_objects: np.ndarray,
) -> np.ndarray:
    """(B, T) average precision.

    Args:
        weights: (B, N).
        image: (D,) from the highest score to the lowest.
        matched: (T, D).
        ignored: (T, D).
        num_objects: (B,) with the weights.
    """
    result = np.zeros((len(weights), len(matched)))
    drawn = weights.take(image, axis=1)
    passed = drawn.cumsum(axis=1, dtype=np.int32)
    for t in range(len(matched)):
        right = np.flatnonzero(matched[t] & ~ignored[t])
        if len(right):
            hits = drawn.take(right, axis=1).cumsum(axis=1, dtype=np.int32)
            counted = passed.take(right, axis=1)
            if ignored[t].any():
                counted -= _before(drawn, np.flatnonzero(ignored[t]), right)
            result[:, t] = _area(hits, counted, num_objects)
    result[num_objects == 0] = np.nan
    return result


def _before(drawn: np.ndarray, events: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(B, P) weight of the events that come before each place."""
    sums = np.zeros((len(drawn), len(events) + 1), dtype=np.int32)
    drawn.take(events, axis=1).cumsum(axis=1, out=sums[:, 1:])
    return sums.take(np.searchsorted(events, places), axis=1)


def _area(hits: np.ndarray, counted: np.ndarray, num_objects: np.ndarray) -> np.ndarray:
    """(B,) mean over 101 recalls of the highest precision at that recall or above.

    Args:
        hits: (B, P) right detections so far, at each right detection.
        counted: (B, P) detections that count so far.
        num_objects: (B,).
    """
    precision = hits / (counted + _TINY)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = _recalls_reached(hits / np.maximum(num_objects, 1)[:, None])
    steps = np.diff(reached, axis=1, prepend=0)
    return np.einsum('bp,bp->b', envelope, steps, dtype=np.float64) / len(RECALLS)


def _recalls_reached(recall: np.ndarray) -> np.ndarray:
    """How many of the 101 recalls are at most each value, as a search among them would find."""
    place = (recall * 100).astype(np.int32)
    # 0.29 * 100 is 28.999...: the product may be one off either way.
    place += RECALLS.take(place + 1, mode='clip') <= recall
    place -= RECALLS.take(place, mode='clip') > recall
    return np.minimum(place + 1, len(RECALLS))
