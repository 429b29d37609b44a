import numpy as np
import pytest

from mim_bench.errors import ResultError
from mim_bench.evaluation.metric_names import primary_metric, record_metrics
from mim_bench.results.record import Metric


def test_record_metrics_names_and_scales_follow_the_table():
    measured = {
        'accuracy/top1': 75.0,
        'mIoU': np.float32(40.5),
        'coco/segm_mAP': 0.25,
        'knn/top1': 30.0,
        'loss': 0.5,
        'time': 3.0,
    }
    assert record_metrics(measured) == {
        'top1': Metric(75.0, '%', True, 'val'),
        'mIoU': Metric(40.5, '%', True, 'val'),
        'segm_mAP': Metric(25.0, '%', True, 'val'),
        'knn_top1': Metric(30.0, '%', True, 'val'),
        'loss': Metric(0.5, '', False, 'train'),
    }


def test_record_metrics_ap_of_absent_sizes_is_left_out():
    assert set(record_metrics({'coco/bbox_mAP': 0.1, 'coco/bbox_mAP_s': -1.0})) == {'bbox_mAP'}


@pytest.mark.parametrize(
    ('task', 'measured', 'primary'),
    [
        ('in1k-1pct-ft', {'loss': 1.0, 'accuracy/top5': 9.0, 'accuracy/top1': 5.0}, 'top1'),
        ('in1k-linear', {'linear/lr': 0.1, 'linear/top1': 5.0}, 'linear_top1'),
        ('in1k-linear', {'accuracy/top1': 5.0}, 'top1'),
        ('coco-gfl', {'coco/bbox_mAP': 0.0, 'coco/bbox_mAP_50': 0.0}, 'bbox_mAP'),
        ('own-task', {'loss': 1.0, 'aAcc': 5.0}, 'aAcc'),
        ('pretrain', {'loss': 1.0}, 'loss'),
        ('pretrain', {}, None),
    ],
)
def test_primary_metric_is_one_of_the_task_s_evaluation(task, measured, primary):
    assert primary_metric(task, record_metrics(measured), measured) == primary


@pytest.mark.parametrize(
    ('task', 'measured', 'reason'),
    [
        ('in1k-ft', {'loss': 1.0}, 'in1k-ft: .*not measured: top1.*loss = 1'),
        ('in1k-ft', {'knn/top1': 50.0}, 'not measured: top1'),
        ('in1k-knn', {'linear/top1': 50.0}, 'not measured: knn_top1'),
        ('coco-htc', {'coco/bbox_mAP': -1.0}, 'not measured: bbox_mAP or segm_mAP.*= -1'),
        ('ade20k-linear', {'mIoU': float('nan')}, 'not finite: mIoU.*= nan'),
        ('ade20k-linear', {'mIoU': 1.0, 'mAcc': float('nan')}, 'not finite: mAcc'),
        ('own-task', {'loss': 1.0}, 'not measured: a metric of an evaluation'),
        ('pretrain', {'loss': float('inf')}, 'not finite: loss'),
    ],
)
def test_primary_metric_without_a_valid_one_raises(task, measured, reason):
    with pytest.raises(ResultError, match=reason):
        primary_metric(task, record_metrics(measured), measured)
