"""What a model did on each image of an evaluation: enough to measure it again on a resample.

There are :class:`Hits` of a classifier, :class:`ClassAreas` of a segmentation and
:class:`Detections` of a detector. Images are numbered by the order of their names, so that two runs
on the same images have them in the same order, whatever order they were evaluated in.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from mim_bench.errors import RecordError

# A bit of a 16-bit word each.
MOST_THRESHOLDS = 16
RECALLS = np.linspace(0, 1, 101)
_TINY = np.spacing(1)


@dataclass(frozen=True)
class ImageSet:
    """The images of an evaluation: how many, and a hash of their sorted names."""

    num: int
    sha256: str


def number_images(names: Sequence[str]) -> tuple[ImageSet, np.ndarray]:
    """Number images by the order of their names.

    What all names have in common up to a slash is left out, so that it does not matter where
    the data lie. Equal names are told apart by the order in which they come.

    Returns:
        The set, and (N,) int64: the number of each image.

    Raises:
        RecordError: There are no images.
    """
    if not names:
        raise RecordError('Outcomes of no image at all. Evaluate at least one.')
    # As far as all names agree, and no further than to a slash.
    start = os.path.commonprefix(names).rfind('/') + 1  # noqa: RUF071 - by characters
    seen: Counter[str] = Counter()
    keys = []
    for name in names:
        keys.append((name[start:], seen[name]))
        seen[name] += 1
    order = sorted(range(len(keys)), key=keys.__getitem__)
    text = '\n'.join(f'{name}\t{repeat}' for name, repeat in (keys[i] for i in order))
    digest = hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()
    return ImageSet(len(keys), digest), np.argsort(order)


@dataclass(frozen=True)
class Outcomes:
    """Base of the kinds of outcomes.

    Each has ``metrics``, their names as a record has them, and ``scores(weights)``: the metrics
    with each image counted as often as its weight says. Whole numbers (B, N) give, by metric, (B,)
    float64 in percent, NaN where there is nothing to measure.
    """

    images: ImageSet  # N of them

    def class_scores(self) -> dict[str, np.ndarray]:
        """What each class adds to a mean over classes.

        Returns:
            By metric: (C,) float64 in percent, NaN for a class that does not occur; nothing for a
            classifier, whose outcomes do not tell the classes.
        """
        return {}

    def values(self) -> dict[str, float]:
        """The metrics of the evaluation itself, in percent; not rounded."""
        return {name: float(values[0]) for name, values in self.scores(self._once).items()}

    @property
    def _once(self) -> np.ndarray:
        return np.ones((1, self.images.num), dtype=np.int32)


@dataclass(frozen=True)
class Hits(Outcomes):
    """Whether each image was classified right."""

    hits: dict[str, np.ndarray]  # (N,) bool by metric

    @property
    def metrics(self) -> list[str]:
        """As of the base."""
        return list(self.hits)

    def scores(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """As of the base."""
        total = weights.sum(axis=1)
        return {name: 100 * (weights @ hits / total) for name, hits in self.hits.items()}


@dataclass(frozen=True)
class ClassAreas(Outcomes):
    """Pixels of each class in each image, where the class occurs in truth or prediction.

    Pixels with a label to ignore are left out; those with a label of no class count as
    ``predicted`` only. An image and a class stand together once.
    """

    num_classes: int  # C
    image: np.ndarray  # (K,) numbers of images
    category: np.ndarray  # (K,) classes, 0 to C - 1
    intersection: np.ndarray  # (K,) pixels that have the class in both
    predicted: np.ndarray  # (K,) pixels that were predicted as the class
    labelled: np.ndarray  # (K,) pixels whose label is the class
    class_names: tuple[str, ...] = ()  # C of them; empty where nobody told

    @property
    def metrics(self) -> list[str]:
        """As of the base."""
        return ['mIoU', 'aAcc', 'mAcc']

    def scores(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """The metrics; classes that occur neither in truth nor in prediction are left out."""
        iou, accuracy, pixel_accuracy = self._shares(weights)
        means = _mean_of_known(iou), pixel_accuracy, _mean_of_known(accuracy)
        return {name: 100 * mean for name, mean in zip(self.metrics, means, strict=True)}

    def class_scores(self) -> dict[str, np.ndarray]:
        """As of the base."""
        return {'mIoU': 100 * self._shares(self._once)[0][0]}

    def _shares(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """IoU and accuracy of each class, (B, C), and accuracy of all pixels, (B,); 0/0 is NaN."""
        shape, places = (self.images.num, self.num_classes), (self.image, self.category)
        factors = weights.T.astype(np.float64)
        correct, predicted, labelled = (
            # Whole numbers below 2**53, so exact.
            (sparse.csr_matrix((column.astype(np.float64), places), shape).T @ factors).T
            for column in (self.intersection, self.predicted, self.labelled)
        )
        with np.errstate(divide='ignore', invalid='ignore'):
            iou = correct / (labelled + predicted - correct)
            return iou, correct / labelled, correct.sum(axis=1) / labelled.sum(axis=1)


@dataclass(frozen=True)
class MatchedDetections:
    """The detections of one IoU type (boxes or masks), each with what it was matched with.

    Detections are sorted by category and, in it, from the highest score to the lowest; their
    order is all that average precision needs of the scores. The lowest ones of a category that
    were matched with nothing cannot change it and may be left out.
    """

    image: np.ndarray  # (D,) numbers of images
    category: np.ndarray  # (D,) 0 to K - 1, ascending
    matched: np.ndarray  # (D,) uint16; bit t is set where it is right at threshold t
    ignored: np.ndarray  # (D,) uint16; bit t is set where it does not count at threshold t
    truth_image: np.ndarray  # (G,) numbers of images
    truth_category: np.ndarray  # (G,) 0 to K - 1; with the image each pair stands once
    truth_count: np.ndarray  # (G,) objects of that category in that image that count


@dataclass(frozen=True)
class Detections(Outcomes):
    """Matches of a detector by COCO's rules: objects of every size, 100 detections an image.

    AP of a resample matches nothing again: an image that it holds w times brings each of its
    detections w times. Precision of equal detections in a row only rises (right ones) or only falls
    (wrong ones), so the envelope over all copies is that at their ends, which cumulative sums of
    weights give exactly. Only right detections can be where the envelope is reached, so the sums
    over all detections, which all thresholds share, are read at those alone.
    """

    num_categories: int  # K
    thresholds: np.ndarray  # (T,) of IoU, ascending, at most 16
    kinds: dict[str, MatchedDetections]  # by IoU type, ``bbox`` or ``segm``
    class_names: tuple[str, ...] = ()  # K of them; empty where nobody told

    @property
    def metrics(self) -> list[str]:
        """As of the base."""
        return [f'{kind}_mAP{suffix}' for kind in self.kinds for suffix in self._suffixes]

    @cached_property
    def _suffixes(self) -> dict[str, list[int]]:
        """Which thresholds each metric is the mean of, by the end of its name."""
        found = {'': list(range(len(self.thresholds)))}
        for suffix, value in {'_50': 0.5, '_75': 0.75}.items():
            at = np.flatnonzero(np.isclose(self.thresholds, value, rtol=0, atol=1e-9))
            found |= {suffix: [int(at[0])]} if len(at) else {}
        return found

    def scores(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """The metrics; categories without an object in the resample are left out."""
        scores = {}
        for kind, found in self.kinds.items():
            precision = self._precision(found, weights)
            for suffix, at in self._suffixes.items():
                mean = _mean_of_known(precision[:, :, at].mean(axis=2))
                scores[f'{kind}_mAP{suffix}'] = 100 * mean
        return scores

    def class_scores(self) -> dict[str, np.ndarray]:
        """As of the base."""
        return {
            f'{kind}_mAP': 100 * self._precision(found, self._once)[0].mean(axis=1)
            for kind, found in self.kinds.items()
        }

    def _precision(self, found: MatchedDetections, weights: np.ndarray) -> np.ndarray:
        """(B, K, T) average precision, 0 to 1; NaN for a category without an object."""
        result = np.full((len(weights), self.num_categories, len(self.thresholds)), np.nan)
        weights = np.ascontiguousarray(weights, dtype=np.int32)
        bits = np.arange(len(self.thresholds), dtype=np.uint16)[:, None]
        bounds = np.arange(self.num_categories + 1)
        starts = np.searchsorted(found.category, bounds)
        order = np.argsort(found.truth_category, kind='stable')
        truth_starts = np.searchsorted(found.truth_category[order], bounds)
        for category in range(self.num_categories):
            truth = order[truth_starts[category] : truth_starts[category + 1]]
            if not len(truth):
                continue
            rows = slice(starts[category], starts[category + 1])
            matched, ignored = (
                (words[None, rows] >> bits & 1).astype(bool)  # (T, D)
                for words in (found.matched, found.ignored)
            )
            num_objects = weights[:, found.truth_image[truth]] @ found.truth_count[truth].astype(
                int
            )
            drawn = weights.take(found.image[rows], axis=1)
            result[:, category] = _average_precision(drawn, matched, ignored, num_objects)
        return result


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """(B,) mean over classes without those that are NaN; NaN where all are."""
    is_known = ~np.isnan(values)
    with np.errstate(invalid='ignore'):
        return np.where(is_known, values, 0).sum(axis=1) / is_known.sum(axis=1)


def _average_precision(
    drawn: np.ndarray, matched: np.ndarray, ignored: np.ndarray, num_objects: np.ndarray
) -> np.ndarray:
    """(B, T) average precision of one category, whose detections come by falling score.

    ``drawn`` (B, D) says how often each occurs; ``matched`` and ``ignored`` are (T, D) bool.
    """
    result = np.zeros((len(drawn), len(matched)))
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

    At each right detection there were so many right ones (``hits``, (B, P)) among so many that
    count (``counted``).
    """
    precision = hits / (counted + _TINY)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / np.maximum(num_objects, 1)[:, None]
    # How many of the 101 recalls are at most each value, as a search among them would find, which
    # takes several times as long. 0.29 * 100 is 28.999...: the product may be one off either way.
    place = (recall * 100).astype(np.int32)
    place += RECALLS.take(place + 1, mode='clip') <= recall
    place -= RECALLS.take(place, mode='clip') > recall
    steps = np.diff(np.minimum(place + 1, len(RECALLS)), axis=1, prepend=0)
    return np.einsum('bp,bp->b', envelope, steps, dtype=np.float64) / len(RECALLS)
