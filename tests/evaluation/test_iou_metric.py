"""The metric on the device: the numbers of mmseg's, in one process and in two."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed as dist

from mim_bench.evaluation.metrics.iou_metric import IoUMetric, pair_counts
from mim_bench.registry import METRICS
from mim_bench.testing.processes import start_together

CLASSES = ('sky', 'sea', 'sand', 'palm', 'never')
AREAS = ('image', 'category', 'intersection', 'predicted', 'labelled')
NUM_SAMPLES = 3  # odd: two processes repeat the first sample to fill up the last round


def make_sample(seed: int) -> dict:
    """Labels: three that occur, 255 ignored, 77 without a class; sizes differ."""
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 5 + seed, 7)
    truth = torch.tensor([0, 1, 2, 255, 77])[torch.randint(5, shape, generator=generator)]
    predicted = torch.randint(4, shape, generator=generator)
    return {'pred_sem_seg': {'data': predicted}, 'gt_sem_seg': {'data': truth}}


def measure(metric, samples, size):
    metric.dataset_meta = {'classes': CLASSES}
    for sample in samples:
        metric.process({}, [sample])
    return {name: float(value) for name, value in metric.evaluate(size).items()}


SAMPLES = [make_sample(seed) for seed in range(NUM_SAMPLES)]


@pytest.fixture(scope='module')
def reference():
    """What mmseg's metric finds."""
    from mmseg.evaluation import IoUMetric as Reference

    return measure(Reference(), SAMPLES, NUM_SAMPLES)


def test_iou_metric_has_the_numbers_of_mmseg(reference):
    assert set(reference) == {'aAcc', 'mIoU', 'mAcc'}
    found = measure(METRICS.build({'type': 'mim_bench.IoUMetric'}), SAMPLES, NUM_SAMPLES)
    assert found == pytest.approx(reference, abs=1e-4)


def test_iou_metric_by_hand():
    # Truth: sky sky sea sea ignored. Predicted: sky sea sea sand sky.
    sample = {
        'pred_sem_seg': {'data': torch.tensor([[[0, 1, 1, 2, 0]]])},
        'gt_sem_seg': {'data': torch.tensor([[[0, 0, 1, 1, 255]]])},
    }
    # IoU: sky 1 of 2, sea 1 of 3, sand 0 of 1; palm and never do not occur.
    # Acc: sky 1 of 2, sea 1 of 2; sand is not there.
    assert measure(IoUMetric(), [sample], 1) == {'aAcc': 50.0, 'mIoU': 27.78, 'mAcc': 50.0}


def test_iou_metric_second_evaluation_starts_from_nothing(reference):
    metric = IoUMetric()
    measure(metric, [make_sample(9)], 1)
    assert measure(metric, SAMPLES, NUM_SAMPLES) == pytest.approx(reference, abs=1e-4)


def test_iou_metric_keeps_no_maps():
    metric = IoUMetric()
    metric.dataset_meta = {'classes': CLASSES}
    metric.process({}, SAMPLES)
    assert metric.results == []
    assert [areas.shape for areas in metric._areas] == [(3, len(CLASSES))] * NUM_SAMPLES


def test_iou_metric_outcomes_give_the_metrics(reference):
    metric = IoUMetric()
    measure(metric, SAMPLES, NUM_SAMPLES)
    assert metric.outcomes.values() == pytest.approx(reference, abs=0.005)
    assert metric.outcomes.class_names == CLASSES
    assert 4 not in metric.outcomes.category


def test_iou_metric_outcomes_by_hand():
    # Truth: sky sky sea none ignored. Predicted: sky sea sea sand sky. The other image: sea sea.
    samples = [
        {
            'img_path': path,
            'pred_sem_seg': {'data': torch.tensor([[predicted]])},
            'gt_sem_seg': {'data': torch.tensor([[truth]])},
        }
        for path, predicted, truth in [
            ('b.png', [0, 1, 1, 2, 0], [0, 0, 1, 77, 255]),
            ('a.png', [1, 1], [1, 1]),
        ]
    ]
    metric = IoUMetric()
    measure(metric, samples, 2)
    found = metric.outcomes
    assert found.images.num == 2
    table = zip(
        found.image, found.category, found.intersection, found.predicted, found.labelled,
        strict=True,
    )  # fmt: skip
    assert sorted(map(tuple, table)) == [(0, 1, 2, 2, 2), (1, 0, 1, 1, 2), (1, 1, 1, 2, 1),
                                         (1, 2, 0, 1, 0)]  # fmt: skip


def test_pair_counts_rows_are_classes_then_others_then_ignored():
    counts = pair_counts(torch.tensor([1, 0, 1]), torch.tensor([0, 7, 255]), 2, 255)
    assert counts.unflatten(0, (4, 2)).tolist() == [[0, 1], [0, 0], [1, 0], [0, 1]]
    assert counts.dtype == torch.int64


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/init', rank=rank, world_size=2)
    padded = [*SAMPLES, SAMPLES[0]]
    one = measure(IoUMetric(prefix='seg'), padded[rank::2], NUM_SAMPLES)
    fewer = measure(IoUMetric(), [SAMPLES[0]], 1)  # a data set of one image
    metric = IoUMetric()
    measure(metric, padded[rank::2], NUM_SAMPLES)
    areas = {name: np.asarray(getattr(metric.outcomes, name)).tolist() for name in AREAS}
    (Path(folder) / f'{rank}.json').write_text(json.dumps([one, fewer, areas]))
    dist.destroy_process_group()


def test_iou_metric_two_processes_count_every_image_once(tmp_path, reference, monkeypatch):
    # The children import this file by its name.
    monkeypatch.setattr(sys, 'path', [str(Path(__file__).parent), *sys.path])
    start_together(work, (str(tmp_path),))
    both = [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(2)]
    assert both[0] == both[1]
    many, fewer, areas = both[0]
    alone = IoUMetric()
    measure(alone, SAMPLES, NUM_SAMPLES)
    assert areas == {name: getattr(alone.outcomes, name).tolist() for name in AREAS}
    assert many == pytest.approx({f'seg/{k}': v for k, v in reference.items()}, abs=1e-4)
    assert fewer == measure(IoUMetric(), SAMPLES[:1], 1)
