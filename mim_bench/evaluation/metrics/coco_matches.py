"""Which detections COCO's evaluation counts as right, image by image.

The compiled evaluator does not tell, and pycocotools only in Python lists, so they are matched
here, on the overlaps that either has computed.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from mim_bench.results.outcomes import (
    MOST_THRESHOLDS,
    Detections,
    ImageSet,
    MatchedDetections,
    number_images,
)

MOST_DETECTIONS = 100
# pycocotools never asks for more overlap than this.
_LARGEST_OVERLAP = 1 - 1e-10


@dataclass
class Matches:
    """What one evaluation found, at the (T,) ``thresholds`` of overlap.

    Ids of COCO ascend; ``found`` numbers the images by them.
    """

    image_ids: list[int]
    category_ids: list[int]
    thresholds: np.ndarray
    found: MatchedDetections


def keeping_matches(base: type) -> tuple[type, dict[str, Matches]]:
    """A subclass of pycocotools' COCOeval or its like, and its matches by IoU type."""
    kept: dict[str, Matches] = {}

    class KeepingEvaluator(base):
        """Keeps the matches of categories; proposals have none."""

        def accumulate(self, p: Any = None) -> None:
            super().accumulate(p)
            if self.params.useCats and len(self.params.iouThrs) <= MOST_THRESHOLDS:
                kept[self.params.iouType] = find_matches(self)

    return KeepingEvaluator, kept


def outcomes_of_matches(matches: Mapping[str, Matches], truth: Any) -> Detections:
    """The outcomes of an evaluation of boxes, masks or both, with the names of COCO's ``truth``."""
    first = next(iter(matches.values()))
    images, numbers = _number(first.image_ids, truth)
    names = tuple(str(truth.cats[i].get('name', i)) for i in first.category_ids)
    kinds = {kind: _renumbered(found.found, numbers) for kind, found in matches.items()}
    return Detections(images, len(names), first.thresholds, kinds, names)


def _number(image_ids: Sequence[int], truth: Any) -> tuple[ImageSet, np.ndarray]:
    files = [truth.imgs[i].get('file_name') for i in image_ids]
    return number_images(files if all(files) else [f'{int(i):012d}' for i in image_ids])


def _renumbered(found: MatchedDetections, numbers: np.ndarray) -> MatchedDetections:
    return replace(found, image=numbers[found.image], truth_image=numbers[found.truth_image])


def find_matches(evaluation: Any) -> Matches:
    """Match what an evaluation has compared, objects of every size, 100 detections at most."""
    params = evaluation.params
    image_ids, category_ids = (np.unique(ids).tolist() for ids in (params.imgIds, params.catIds))
    thresholds = np.asarray(params.iouThrs, dtype=np.float64)
    crowds = _by_place(evaluation.cocoGt, lambda annotation: bool(annotation.get('iscrowd', 0)))
    scores = _by_place(evaluation.cocoDt, itemgetter('score'))
    image_at, category_at = (
        {value: place for place, value in enumerate(ids)} for ids in (image_ids, category_ids)
    )
    rows, truth = [], []
    for image_id, category_id in sorted({*crowds, *scores}):
        image, category = image_at.get(image_id), category_at.get(category_id)
        if image is None or category is None:
            continue
        place = (image_id, category_id)
        crowd = crowds.get(place, ())
        if count := crowd.count(False):
            truth.append((image, category, count))
        if place in scores:
            ranked = sorted(scores[place], reverse=True)[:MOST_DETECTIONS]
            words = None
            if crowd:
                overlaps = evaluation.ious[place]
                words = match_pair(overlaps, np.array(crowd), thresholds, len(ranked))
            rows.append((image, category, ranked, words))
    return Matches(image_ids, category_ids, thresholds, _table(rows, truth))


def _by_place(coco: Any, value: Callable[[dict], Any]) -> dict[tuple[int, int], list]:
    """Values of annotations by image and category, in the order of the file."""
    found = defaultdict(list)
    for annotation in coco.dataset.get('annotations', ()):
        found[annotation['image_id'], annotation['category_id']].append(value(annotation))
    return found


def match_pair(
    overlaps: Sequence, is_crowd: np.ndarray, thresholds: np.ndarray, num_detections: int
) -> tuple[np.ndarray, np.ndarray]:
    """Match the detections of one category in one image with its objects.

    From the highest score on, a detection takes the free object that it overlaps most (the last
    of equals). One that finds none, but a crowd, does not count; a crowd is never taken.

    Args:
        overlaps: (>= D, G) of detections from the highest score on with objects, or empty.
        is_crowd: (G,) bool.
        thresholds: (T,) ascending.
        num_detections: D.

    Returns:
        (D,) uint16 each: bits of the thresholds at which a detection is matched, and at which
        it does not count.
    """
    matched, ignored = np.zeros((2, num_detections), dtype=np.uint16)
    if len(overlaps) == 0 or len(is_crowd) == 0:
        return matched, ignored
    overlaps = np.asarray(overlaps)[:num_detections]
    floors = np.minimum(thresholds, _LARGEST_OVERLAP)[:, None]
    places = np.flatnonzero(overlaps.max(axis=1) >= floors[0])
    if len(places):
        near = overlaps[places]
        taken = _match_objects(near[:, ~is_crowd], floors)
        in_crowd = ~taken & (near[:, None, is_crowd] >= floors).any(axis=2)
        bits = (1 << np.arange(len(thresholds))).astype(np.uint16)
        matched[places] = (taken | in_crowd) @ bits
        ignored[places] = in_crowd @ bits
    return matched, ignored


def _match_objects(overlaps: np.ndarray, floors: np.ndarray) -> np.ndarray:
    """Which detections, (D, G) overlaps from the highest score on, get an object: (D, T) bool."""
    fits = overlaps[:, None] >= floors  # (D, T, G)
    taken = np.zeros(fits.shape[:2], dtype=bool)
    if not fits.size:
        return taken
    if fits.sum(axis=2).max() == 1:
        # Without a choice: each object goes to the first detection that fits.
        threshold, _ = wanted = np.nonzero(fits.any(axis=0))
        taken[fits.argmax(axis=0)[wanted], threshold] = True
        return taken
    last = overlaps.shape[1] - 1
    is_free = np.ones(fits.shape[1:], dtype=bool)
    for d, row in enumerate(overlaps):
        free = fits[d] & is_free  # (T, G)
        takes = free.any(axis=1)
        best = last - np.where(free, row, -1)[:, ::-1].argmax(axis=1)
        is_free[takes, best[takes]] = False
        taken[d] = takes
    return taken


def _table(rows: list[tuple], truth: list[tuple[int, int, int]]) -> MatchedDetections:
    """One table by category and falling score, equal scores by image, as pycocotools sorts.

    ``rows`` are (image, category, scores, words of :func:`match_pair` or None for no match),
    ``truth`` (image, category, number of objects).
    """
    lengths = np.array([len(row[2]) for row in rows], dtype=np.int64)
    image, category = (
        np.repeat(np.array([row[k] for row in rows], dtype=np.int64), lengths) for k in (0, 1)
    )
    score = np.array(list(chain.from_iterable(row[2] for row in rows)), dtype=np.float64)
    matched, ignored = np.zeros((2, len(score)), dtype=np.uint16)
    for end, length, row in zip(lengths.cumsum(), lengths, rows, strict=True):
        if row[3] is not None:
            matched[end - length : end], ignored[end - length : end] = row[3]
    order = np.lexsort((image, -score, category))
    columns = [column[order] for column in (image, category, matched, ignored)]
    kept = _up_to_last_match(columns[1], columns[2])
    places = np.array(truth, dtype=np.int64).reshape(-1, 3).T
    return MatchedDetections(*(column[kept] for column in columns), *places)


def _up_to_last_match(category: np.ndarray, matched: np.ndarray) -> np.ndarray:
    """Whether a match follows in the category, (D,) bool; other detections cannot change its AP."""
    rank = np.arange(len(category))
    last = np.full(int(category.max(initial=-1)) + 1, -1)
    np.maximum.at(last, category[matched > 0], rank[matched > 0])
    return rank <= last[category]
