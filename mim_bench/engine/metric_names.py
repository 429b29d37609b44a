"""What the libraries call their metrics, and what they are called in a record."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from mim_bench.results.record import Metric


@dataclass(frozen=True)
class MetricSpec:
    """A metric of a record: its name there, and how to get its value from the library's.

    ``scale`` times the library's value is the value in ``unit``.
    """

    name: str
    unit: str = '%'
    scale: float = 1.0
    higher_is_better: bool = True
    split: str = 'val'


_COCO_SUFFIXES = ('', '_50', '_75', '_s', '_m', '_l')

METRICS: dict[str, MetricSpec] = {
    # mmpretrain's Accuracy, in percent
    'accuracy/top1': MetricSpec('top1'),
    'accuracy/top5': MetricSpec('top5'),
    # mmseg's IoUMetric, in percent; the first of a record is its primary metric
    'mIoU': MetricSpec('mIoU'),
    'aAcc': MetricSpec('aAcc'),
    'mAcc': MetricSpec('mAcc'),
    # mmdet's CocoMetric, from 0 to 1
    **{
        f'coco/{kind}_mAP{suffix}': MetricSpec(f'{kind}_mAP{suffix}', scale=100.0)
        for kind in ('bbox', 'segm')
        for suffix in _COCO_SUFFIXES
    },
    # the probes of this package, in percent
    'knn/top1': MetricSpec('knn_top1'),
    'knn/top5': MetricSpec('knn_top5'),
    'linear/top1': MetricSpec('linear_top1'),
    'linear/top5': MetricSpec('linear_top5'),
    'linear/lr': MetricSpec('linear_lr', unit='', higher_is_better=False, split='train'),
    # the mean training loss of the last epoch
    'loss': MetricSpec('loss', unit='', higher_is_better=False, split='train'),
}


def record_metrics(measured: Mapping[str, Any]) -> dict[str, Metric]:
    """The metrics of a record, by their names there.

    Args:
        measured: Values by the library's key; keys that :data:`METRICS` does not list are
            left out, and AP of object sizes that do not occur (mmdet reports -1).
    """
    metrics = {}
    for key, spec in METRICS.items():
        value = measured.get(key)
        if not isinstance(value, Real) or (key.startswith('coco/') and value < 0):
            continue
        metrics[spec.name] = Metric(
            float(value) * spec.scale, spec.unit, spec.higher_is_better, spec.split
        )
    return metrics
