"""The two COCO evaluators give the same numbers, and the metric says which one it takes."""

import importlib.util
import json

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import METRICS
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mim_bench.errors import ConfigError
from mim_bench.evaluation.metrics import coco_metric as module
from mim_bench.evaluation.metrics.coco_metric import FasterCOCOeval, chosen_backend
from mim_bench.recipe.protocol import protocol_settings

HEIGHT, WIDTH, NUM_CLASSES = 240, 320, 6
NAMES = [f'class {i}' for i in range(NUM_CLASSES)]
needs_faster = pytest.mark.skipif(
    importlib.util.find_spec('faster_coco_eval') is None, reason='faster-coco-eval not installed'
)


def region(box):
    """A run-length code of a box without its lower right corner."""
    x, y, w, h = (float(v) for v in box)
    outline = [x, y, x + w, y, x + w, y + h / 2, x + w / 3, y + h, x, y + h]
    (code,) = rle.frPyObjects([outline], HEIGHT, WIDTH)
    return {**code, 'counts': code['counts'].decode()}


@pytest.fixture(scope='module')
def scenes():
    """Truth with crowds, all three sizes and an empty image; detections with equal scores."""
    rng = np.random.default_rng(0)
    truth, detections = [], []
    for image in range(1, 13):
        sides = np.exp(rng.uniform(np.log(6), np.log(180), (8, 2)))
        corners = rng.uniform(0, 1, (8, 2)) * ([WIDTH, HEIGHT] - sides)
        boxes = np.concatenate([corners, sides], axis=1)
        classes = rng.integers(1, NUM_CLASSES + 1, 8)
        for box, label in zip(boxes, classes, strict=True):
            code = region(box)
            truth.append(
                dict(
                    id=len(truth) + 1,
                    image_id=image,
                    category_id=int(label),
                    bbox=box.tolist(),
                    area=float(rle.area(code)),
                    iscrowd=int(rng.random() < 0.1),
                    segmentation=code,
                )
            )
        for _ in range(40 if image < 12 else 0):
            picked = rng.integers(8)
            box = boxes[picked] + rng.normal(0, 0.08, 4) * np.tile(boxes[picked, 2:], 2)
            label = classes[picked] if rng.random() < 0.7 else rng.integers(1, NUM_CLASSES + 1)
            detections.append(
                dict(
                    image_id=image,
                    category_id=int(label),
                    bbox=np.maximum(box, [0, 0, 2, 2]).tolist(),
                    score=round(float(rng.random()), 1),
                )
            )
    images = [dict(id=i, height=HEIGHT, width=WIDTH, file_name='') for i in range(1, 14)]
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(NAMES)]
    return dict(images=images, annotations=truth, categories=categories), detections


def scores(kind, evaluator, scenes, max_dets):
    truth = COCO()
    truth.dataset = json.loads(json.dumps(scenes[0]))
    truth.createIndex()
    found = [dict(d) for d in scenes[1]]
    if kind == 'segm':
        found = [{**d, 'segmentation': region(d.pop('bbox'))} for d in found]
    evaluation = evaluator(truth, truth.loadRes(found), kind)
    evaluation.params.maxDets = max_dets
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


@needs_faster
@pytest.mark.parametrize('max_dets', [[100, 300, 1000], [1, 10, 100], [1, 3, 10]])
@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_faster_evaluator_equals_pycocotools(scenes, kind, max_dets):
    ours = scores(kind, FasterCOCOeval, scenes, max_dets)
    wanted = scores(kind, COCOeval, scenes, max_dets)
    assert 0.05 < wanted.stats[1] < 0.95
    np.testing.assert_allclose(ours.stats, wanted.stats, rtol=0, atol=1e-9)
    for key in ('precision', 'recall'):
        np.testing.assert_allclose(ours.eval[key], wanted.eval[key], rtol=0, atol=1e-9)


@pytest.fixture
def truth_file(scenes, tmp_path):
    path = tmp_path / 'instances.json'
    path.write_text(json.dumps(scenes[0]))
    return str(path)


def evaluate(truth_file, scenes, images=range(1, 14), **settings):
    """What the registered metric makes of the boxes of the detections."""
    metric = METRICS.build(
        dict(type='mim_bench.CocoMetric', ann_file=truth_file, metric='bbox', **settings)
    )
    metric.dataset_meta = dict(classes=NAMES)
    results = []
    for image in images:
        found = [d for d in scenes[1] if d['image_id'] == image]
        boxes = np.array([d['bbox'] for d in found]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        result = dict(
            img_id=image,
            bboxes=boxes,
            scores=np.array([d['score'] for d in found]),
            labels=np.array([d['category_id'] - 1 for d in found], dtype=int),
        )
        results.append((dict(img_id=image, height=HEIGHT, width=WIDTH), result))
    return metric, metric.compute_metrics(results)


@needs_faster
@pytest.mark.stack
@pytest.mark.parametrize('settings', [{}, {'classwise': True}, {'metric_items': ['mAP', 'AR@100']}])
def test_coco_metric_backends_agree(truth_file, scenes, settings):
    _, ours = evaluate(truth_file, scenes, eval_backend='faster', **settings)
    _, wanted = evaluate(truth_file, scenes, eval_backend='pycocotools', **settings)
    assert ours == wanted
    assert ours['bbox_mAP'] > 0.05


@pytest.mark.parametrize('backend', ['pycocotools', pytest.param('faster', marks=needs_faster)])
def test_coco_metric_objects_counted_from_zero_give_the_same_numbers(scenes, tmp_path, backend):
    found = []
    for first in (0, 1):
        path = tmp_path / f'{first}.json'
        objects = [a | {'id': i} for i, a in enumerate(scenes[0]['annotations'], start=first)]
        path.write_text(json.dumps(scenes[0] | {'annotations': objects}))
        found.append(evaluate(str(path), scenes, eval_backend=backend)[1])
    assert found[0] == found[1]


@needs_faster
def test_coco_metric_faster_runs_the_faster_evaluator(truth_file, scenes, monkeypatch):
    runs = []
    evaluate_images = FasterCOCOeval.evaluate
    monkeypatch.setattr(
        FasterCOCOeval, 'evaluate', lambda self: (runs.append(1), evaluate_images(self))
    )
    evaluate(truth_file, scenes, eval_backend='pycocotools')
    assert not runs
    evaluate(truth_file, scenes, eval_backend='faster')
    assert runs == [1]


def test_coco_metric_leaves_the_evaluator_of_mmdet_as_it_was(truth_file, scenes):
    from mmdet.evaluation.metrics import coco_metric as mmdet_module

    own = mmdet_module.COCOeval
    evaluate(truth_file, scenes)
    assert mmdet_module.COCOeval is own


def test_coco_metric_of_the_images_that_were_seen_is_that_of_a_file_of_them(
    truth_file, scenes, tmp_path
):
    seen = range(3, 8)
    truth = {
        **scenes[0],
        'images': [image for image in scenes[0]['images'] if image['id'] in seen],
        'annotations': [a for a in scenes[0]['annotations'] if a['image_id'] in seen],
    }
    (tmp_path / 'few.json').write_text(json.dumps(truth))
    _, wanted = evaluate(str(tmp_path / 'few.json'), scenes, seen)
    metric, ours = evaluate(truth_file, scenes, seen, only_seen=True)
    assert ours == wanted
    assert metric.outcomes.images.num == len(seen)
    _, all_images = evaluate(truth_file, scenes, seen)  # the others count as missed
    assert ours['bbox_mAP'] > 1.5 * all_images['bbox_mAP'] > 0


@pytest.mark.stack
def test_coco_metric_without_detections_is_zero(truth_file, scenes):
    _, metrics = evaluate(truth_file, (scenes[0], []))
    assert metrics == {'bbox_mAP': 0.0, 'bbox_mAP_50': 0.0, 'bbox_mAP_75': 0.0}


def test_chosen_backend_auto_takes_the_faster_one_if_installed(monkeypatch):
    monkeypatch.setattr(module, 'find_spec', lambda name: object())
    assert chosen_backend('auto') == 'faster'
    assert chosen_backend('auto', use_mp_eval=True) == 'pycocotools'
    monkeypatch.setattr(module, 'find_spec', lambda name: None)
    assert chosen_backend('auto') == 'pycocotools'


def test_chosen_backend_faster_not_installed_raises(monkeypatch):
    monkeypatch.setattr(module, 'find_spec', lambda name: None)
    with pytest.raises(ConfigError, match='pip install faster-coco-eval'):
        chosen_backend('faster')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'eval_backend': 'fast'}, 'unknown eval_backend'),
        ({'eval_backend': 'faster', 'use_mp_eval': True}, 'two evaluators'),
    ],
)
def test_chosen_backend_contradiction_raises(arguments, message):
    with pytest.raises(ConfigError, match=message):
        chosen_backend(**arguments)


def test_protocol_does_not_hold_the_backend():
    evaluator = dict(type='mim_bench.CocoMetric', metric='bbox')
    plain = Config(dict(val_evaluator=evaluator))
    chosen = Config(dict(val_evaluator=dict(evaluator, eval_backend='faster')))
    assert protocol_settings(plain) == protocol_settings(chosen)
