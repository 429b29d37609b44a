"""AP from stored matches is the AP of pycocotools, also where a resample repeats images."""

from collections import defaultdict

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval, Params

from mim_bench.results.outcomes import RECALLS, Detections, ImageSet, MatchedDetections

THRESHOLDS = np.linspace(0.5, 0.95, 10)
ONCE = np.ones((1, 1), dtype=int)


def detections_of(rows, truth, num_images, num_categories=1, thresholds=THRESHOLDS):
    """From (image, category, matched bits, ignored bits) and {(image, category): count}."""
    image, category, matched, ignored = np.array(rows, dtype=np.uint16).reshape(-1, 4).T
    places = np.array(list(truth), dtype=int).reshape(-1, 2)
    found = MatchedDetections(
        image, category, matched, ignored, *places.T, np.array(list(truth.values()), dtype=int)
    )
    images = ImageSet(num_images, '0' * 64)
    return Detections(images, num_categories, np.asarray(thresholds), {'bbox': found})


def test_detection_scores_by_hand():
    # Four objects; detections right, wrong, right: precision 1 up to a recall of 1/4 (26 of 101
    # recalls), then 2/3 up to 1/2 (25 more), then 0.
    rows = [(0, 0, 1, 0), (0, 0, 0, 0), (0, 0, 1, 0)]
    found = detections_of(rows, {(0, 0): 4}, 1, thresholds=[0.5])
    wanted = 100 * (26 + 25 * 2 / 3) / 101
    scores = found.scores(ONCE)
    assert scores['bbox_mAP'] == pytest.approx([wanted], abs=1e-12)
    assert scores['bbox_mAP_50'] == pytest.approx([wanted], abs=1e-12)


def test_detection_scores_ignored_detection_does_not_count():
    right, crowd = (0, 0, 1, 0), (0, 0, 1, 1)
    with_crowd = detections_of([crowd, right], {(0, 0): 1}, 1, thresholds=[0.5])
    assert with_crowd.scores(ONCE)['bbox_mAP'] == pytest.approx([100.0])


def test_detection_scores_category_without_objects_is_left_out():
    rows = [(0, 0, 1, 0), (1, 1, 1, 0)]
    found = detections_of(rows, {(0, 0): 1, (1, 1): 2}, 2, num_categories=3, thresholds=[0.5])
    # Without image 1 only category 0 is left; with both half of category 1 is found: 51 recalls.
    scores = found.scores(np.array([[2, 0], [1, 1]]))['bbox_mAP']
    assert scores == pytest.approx([100.0, 100 * (1 + 51 / 101) / 2])


def test_detection_scores_of_no_object_are_not_a_number():
    found = detections_of([(0, 0, 0, 0)], {}, 1)
    assert np.isnan(found.scores(ONCE)['bbox_mAP']).all()


def random_case(seed):
    """Scored detections and the truth that counts, by 9 images and 4 categories."""
    rng = np.random.default_rng(seed)
    found, truth = defaultdict(list), {}
    for image in range(9):
        for category in range(4):
            if rng.random() < 0.3:
                continue
            truth[image, category] = int(rng.integers(0, 5))
            for _ in range(rng.integers(0, 12)):
                level = rng.integers(0, 11) if rng.random() < 0.6 else 0
                ignored = (1 << int(rng.integers(0, 11))) - 1 if rng.random() < 0.1 else 0
                found[image, category].append((rng.random(), (1 << int(level)) - 1, ignored))
            found[image, category].sort(key=lambda d: -d[0])
    return found, truth


def stored(found, truth, num_images, num_categories):
    rows = sorted(
        ((c, -score, i, m, g) for (i, c), group in found.items() for score, m, g in group),
        key=lambda row: row[:2],
    )
    counts = {place: count for place, count in truth.items() if count}
    return detections_of(
        [(i, c, m, g) for c, _, i, m, g in rows], counts, num_images, num_categories
    )


def pycocotools_precision(found, truth, images, num_categories):
    """pycocotools' accumulate, with images that may occur several times."""
    evaluation = COCOeval(iouType='bbox')
    evaluation.params = Params('bbox')
    evaluation.params.maxDets = [100]
    evaluation.params.areaRng = [evaluation.params.areaRng[0]]
    evaluation.params.imgIds = list(range(len(images)))
    evaluation.params.catIds = list(range(num_categories))
    evaluation._paramsEval = evaluation.params
    evaluation.evalImgs = [
        image_evaluation(found.get((i, c), []), truth.get((i, c)))
        for c in range(num_categories)
        for i in images
    ]
    evaluation.accumulate()
    precision = evaluation.eval['precision']
    return precision[precision > -1].mean()


def image_evaluation(group, count):
    if not group and count is None:
        return None
    bits = np.arange(10)[:, None]
    matched, ignored = ([d[k] for d in group] for k in (1, 2))
    return {
        'dtScores': [d[0] for d in group],
        'dtMatches': np.array([matched], dtype=int).reshape(1, -1) >> bits & 1,
        'dtIgnore': (np.array([ignored], dtype=int).reshape(1, -1) >> bits & 1).astype(bool),
        'gtIgnore': np.zeros(count or 0),
    }


@pytest.mark.parametrize('seed', range(6))
def test_detection_scores_also_of_a_resample_equal_pycocotools_on_copies(seed, capsys):
    found, truth = random_case(seed)
    drawn = np.random.default_rng(seed).multinomial(9, np.full(9, 1 / 9), size=5)
    weights = np.stack([np.ones(9, dtype=int), *drawn])
    scores = stored(found, truth, 9, 4).scores(weights)['bbox_mAP']
    for row, score in zip(weights, scores, strict=True):
        copies = np.repeat(np.arange(9), row)
        wanted = 100 * pycocotools_precision(found, truth, copies, 4)
        assert 1 < wanted < 99
        assert score == pytest.approx(wanted, abs=1e-11, rel=0)


def test_detection_scores_find_every_recall_that_a_search_finds():
    # 0.29 * 100 is below 29: one right detection more for each of 100 objects meets every recall.
    rows = [(0, 0, 1, 0)] * 100
    for num_found in (7, 28, 29, 57, 58, 100):
        found = detections_of(rows[:num_found], {(0, 0): 100}, 1, thresholds=[0.5])
        reached = np.searchsorted(RECALLS, num_found / 100, side='right')
        assert found.scores(ONCE)['bbox_mAP'] == pytest.approx([100 * reached / 101])
