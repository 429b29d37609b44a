"""The matches that are kept of COCO's evaluation are those that it counted."""

import importlib.util

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mim_bench.evaluation.metrics.coco_matches import (
    keeping_matches,
    match_pair,
    outcomes_of_matches,
)
from mim_bench.evaluation.metrics.coco_metric import FasterCOCOeval

SIDE, NUM_IMAGES, NUM_CLASSES = 200, 7, 3
HALVES = np.array([0.5, 0.75])
EVALUATORS = [
    COCOeval,
    pytest.param(
        FasterCOCOeval,
        marks=pytest.mark.skipif(
            importlib.util.find_spec('faster_coco_eval') is None,
            reason='faster-coco-eval not installed',
        ),
    ),
]


def words(overlaps, is_crowd=None):
    overlaps = np.array(overlaps, dtype=float)
    is_crowd = np.zeros(overlaps.shape[1], dtype=bool) if is_crowd is None else is_crowd
    found = match_pair(overlaps, np.array(is_crowd), HALVES, len(overlaps))
    return [column.tolist() for column in found]


def test_match_pair_one_object_goes_to_the_highest_score_that_fits():
    # The first fits at 0.5 only, so the second has it at 0.75; the third comes too late.
    assert words([[0.6], [0.8], [0.9]]) == [[0b01, 0b10, 0], [0, 0, 0]]


def test_match_pair_detection_takes_the_object_that_it_overlaps_most():
    # The first takes object 1, the second is left with object 0.
    assert words([[0.5, 0.9], [0.6, 0.95]]) == [[0b11, 0b01], [0, 0]]


def test_match_pair_crowd_takes_any_number_and_they_do_not_count():
    assert words([[0.9], [0.6]], [True]) == [[0b11, 0b01], [0b11, 0b01]]


def test_match_pair_object_goes_before_a_crowd_of_more_overlap():
    assert words([[0.9, 0.55], [0.9, 0.55]], [True, False]) == [[0b11, 0b11], [0b10, 0b11]]


def test_match_pair_without_objects_matches_nothing():
    assert words(np.zeros((2, 0))) == [[0, 0], [0, 0]]
    found = match_pair([], np.array([False]), HALVES, 0)
    assert [column.shape for column in found] == [(0,), (0,)]


def outline(box):
    x, y, w, h = (float(v) for v in box)
    (code,) = rle.frPyObjects([[x, y, x + w, y, x + w, y + h / 2, x, y + h]], SIDE, SIDE)
    return {**code, 'counts': code['counts'].decode()}


def scene(seed):
    """Truth with crowds and an empty image; detections with scores in tenths, so many equal."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for image in range(1, NUM_IMAGES):
        sides = rng.uniform(10, 80, (6, 2))
        boxes = np.concatenate([rng.uniform(0, SIDE - sides), sides], axis=1)
        labels = rng.integers(1, NUM_CLASSES + 1, 6)
        for box, label in zip(boxes, labels, strict=True):
            truth.append(
                dict(id=len(truth) + 1, image_id=image, category_id=int(label), bbox=box.tolist(),
                     area=float(box[2] * box[3]), iscrowd=int(rng.random() < 0.15),
                     segmentation=outline(box))
            )  # fmt: skip
        for picked in rng.integers(0, 6, 25):
            box = boxes[picked] + rng.normal(0, 0.1, 4) * np.tile(boxes[picked, 2:], 2)
            label = labels[picked] if rng.random() < 0.8 else rng.integers(1, NUM_CLASSES + 1)
            score = round(float(rng.random()), 1)
            box = np.maximum(box, [0, 0, 2, 2]).tolist()
            found.append(dict(image_id=image, category_id=int(label), bbox=box, score=score))
    images = [
        # Names in another order than the ids.
        dict(id=i, height=SIDE, width=SIDE, file_name=f'{(i * 3) % 8}.jpg')
        for i in range(1, NUM_IMAGES + 1)
    ]
    categories = [dict(id=i, name=f'class {i}') for i in range(1, NUM_CLASSES + 1)]
    return dict(images=images, annotations=truth, categories=categories), found


def evaluated(base, kind, seed):
    data, found = scene(seed)
    truth = COCO()
    truth.dataset = data
    truth.createIndex()
    if kind == 'segm':
        found = [{**d, 'segmentation': outline(d.pop('bbox'))} for d in found]
    evaluator, matches = keeping_matches(base)
    evaluation = evaluator(truth, truth.loadRes(found), kind)
    evaluation.params.maxDets = [1, 10, 100]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation, outcomes_of_matches(matches, truth)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('kind', ['bbox', 'segm'])
@pytest.mark.parametrize('base', EVALUATORS)
def test_outcomes_give_the_ap_of_the_evaluation(base, kind, seed, capsys):
    evaluation, outcomes = evaluated(base, kind, seed)
    precision = evaluation.eval['precision'][:, :, :, 0, -1]
    found = outcomes.scores(np.ones((1, NUM_IMAGES), dtype=int))
    for suffix, part in (('', slice(None)), ('_50', [0]), ('_75', [5])):
        wanted = precision[part][precision[part] > -1].mean()
        assert 0.02 < wanted < 0.98
        assert found[f'{kind}_mAP{suffix}'][0] == pytest.approx(100 * wanted, abs=1e-12, rel=0)


def test_outcomes_number_images_by_their_names_and_name_the_classes(capsys):
    _, outcomes = evaluated(COCOeval, 'bbox', 0)
    data, _ = scene(0)
    names = sorted(image['file_name'] for image in data['images'])
    empty = next(i['file_name'] for i in data['images'] if i['id'] == NUM_IMAGES)
    assert outcomes.images.num == NUM_IMAGES
    assert outcomes.class_names == ('class 1', 'class 2', 'class 3')
    seen = set(outcomes.kinds['bbox'].image.tolist())
    assert names.index(empty) not in seen
    assert len(seen) == NUM_IMAGES - 1


def test_outcomes_leave_out_only_what_follows_the_last_match(capsys):
    _, outcomes = evaluated(COCOeval, 'bbox', 1)
    kept = outcomes.kinds['bbox']
    assert 0 < len(kept.matched) < len(scene(1)[1])
    for category in range(NUM_CLASSES):
        assert kept.matched[kept.category == category][-1] > 0
