import numpy as np

from mim_bench.engine.metric_names import record_metrics
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
