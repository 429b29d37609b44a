"""The numbers of mmpretrain's Accuracy, and the images behind them."""

import numpy as np
import pytest
import torch
from mmpretrain.evaluation.metrics import Accuracy as Reference

from mim_bench.registry import METRICS

NUM_IMAGES, NUM_CLASSES = 37, 12


def make_samples(paths=True):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(NUM_IMAGES, NUM_CLASSES, generator=generator).softmax(dim=1)
    labels = torch.randint(NUM_CLASSES, (NUM_IMAGES, 1), generator=generator)
    # Named so that their order is not that of the evaluation.
    names = [f'/data/val/{(i * 5) % NUM_IMAGES:02d}.jpg' for i in range(NUM_IMAGES)]
    return [
        {'pred_score': s, 'gt_label': y, **({'img_path': name} if paths else {})}
        for s, y, name in zip(scores, labels, names, strict=True)
    ]


def evaluate(metric, samples):
    for start in range(0, len(samples), 8):
        metric.process({}, samples[start : start + 8])
    return metric.evaluate(len(samples))


def build(**settings):
    return METRICS.build(dict(type='mim_bench.Accuracy', **settings))


@pytest.mark.parametrize('settings', [{'topk': (1, 5)}, {}, {'topk': (1,), 'thrs': (0.0, 0.3)}])
def test_accuracy_has_the_numbers_of_mmpretrain(settings):
    assert evaluate(build(**settings), make_samples()) == evaluate(
        Reference(**settings), make_samples()
    )


def test_accuracy_outcomes_give_the_metrics():
    metric = build(topk=(1, 5))
    measured = evaluate(metric, make_samples())
    hits = metric.outcomes.hits
    assert metric.outcomes.images.num == NUM_IMAGES
    for name in ('top1', 'top5'):
        assert 100 * hits[name].mean() == pytest.approx(measured[f'accuracy/{name}'], abs=1e-4)


def test_accuracy_outcomes_are_in_the_order_of_the_names():
    metric, samples = build(), make_samples()
    evaluate(metric, samples)
    by_name = sorted(samples, key=lambda sample: sample['img_path'])
    wanted = [bool(s['pred_score'].argmax() == s['gt_label']) for s in by_name]
    assert metric.outcomes.hits['top1'].tolist() == wanted
    evaluate(other := build(), samples[::-1])
    assert other.outcomes.images == metric.outcomes.images
    np.testing.assert_array_equal(other.outcomes.hits['top1'], metric.outcomes.hits['top1'])


def test_accuracy_outcomes_without_names_are_in_the_order_of_the_data_set():
    metric, samples = build(), make_samples(paths=False)
    evaluate(metric, samples)
    wanted = [bool(s['pred_score'].argmax() == s['gt_label']) for s in samples]
    assert metric.outcomes.hits['top1'].tolist() == wanted


def test_accuracy_score_below_the_threshold_is_no_hit():
    sample = {'pred_score': torch.tensor([0.4, 0.35, 0.25]), 'gt_label': torch.tensor([0])}
    metric = build(thrs=0.5)
    assert evaluate(metric, [sample]) == {'accuracy/top1': 0.0}
    assert not metric.outcomes.hits['top1'].any()


def test_accuracy_of_labels_alone():
    samples = [
        {'pred_label': torch.tensor([p]), 'gt_label': torch.tensor([y])}
        for p, y in [(1, 1), (2, 1), (0, 0)]
    ]
    metric = build()
    assert evaluate(metric, samples)['accuracy/top1'] == pytest.approx(200 / 3)
    assert metric.outcomes.hits['top1'].tolist() == [True, False, True]


def test_accuracy_with_several_thresholds_keeps_no_outcomes():
    metric = build(thrs=(0.0, 0.3))
    evaluate(metric, make_samples())
    assert metric.outcomes is None
