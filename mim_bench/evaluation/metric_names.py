"""What the libraries call their metrics, their names in a record, and which one ranks a task."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from mim_bench.errors import ResultError
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
_PROBES = ('knn', 'linear', 'attentive')


def _chosen(name: str) -> MetricSpec:
    """What training chose or ended with, not how good it is."""
    return MetricSpec(name, unit='', higher_is_better=False, split='train')


METRICS: dict[str, MetricSpec] = {
    # mmpretrain's Accuracy, in percent
    'accuracy/top1': MetricSpec('top1'),
    'accuracy/top5': MetricSpec('top5'),
    # of ImageNet-C, in percent of AlexNet's
    'mCE': MetricSpec('mCE', higher_is_better=False),
    **{f'{p}/mCE': MetricSpec(f'{p}_mCE', higher_is_better=False) for p in _PROBES},
    # mmseg's IoUMetric, in percent
    **{name: MetricSpec(name) for name in ('mIoU', 'aAcc', 'mAcc')},
    # mmdet's CocoMetric, from 0 to 1
    **{
        f'coco/{kind}_mAP{suffix}': MetricSpec(f'{kind}_mAP{suffix}', scale=100.0)
        for kind in ('bbox', 'segm')
        for suffix in _COCO_SUFFIXES
    },
    # the probes of this package, in percent
    **{f'{p}/{top}': MetricSpec(f'{p}_{top}') for p in _PROBES for top in ('top1', 'top5')},
    **{f'{p}/lr': _chosen(f'{p}_lr') for p in _PROBES[1:]},
    **{f'{p}/layer': _chosen(f'{p}_layer') for p in _PROBES},
    # the mean training loss of the last epoch
    'loss': _chosen('loss'),
}

# The metrics by which a task may be ranked, by the beginning of its name; the longest decides.
PRIMARY: dict[str, tuple[str, ...]] = {
    'in1k-': ('top1',),
    'in1k-knn': ('knn_top1',),
    'in1k-linear': ('linear_top1', 'top1'),
    'in1k-attentive': ('attentive_top1',),
    'imagenet-': ('top1', 'knn_top1', 'linear_top1', 'attentive_top1'),
    'imagenet-c': ('mCE', 'knn_mCE', 'linear_mCE', 'attentive_mCE'),
    'ade20k-': ('mIoU',),
    'coco-': ('bbox_mAP', 'segm_mAP'),
}
PRETRAINING = 'pretrain'


def record_metrics(measured: Mapping[str, Any]) -> dict[str, Metric]:
    """The metrics of a record, by their names there, of values by the library's key.

    Keys that :data:`METRICS` does not list are left out, and AP of object sizes that do not occur
    (mmdet reports -1).
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


def ranking_metrics(task: str) -> tuple[str, ...]:
    """The metrics by which a task may be ranked; of an unknown task all that evaluations give."""
    known = [prefix for prefix in PRIMARY if task.startswith(prefix)]
    if known:
        return PRIMARY[max(known, key=len)]
    return tuple(spec.name for spec in METRICS.values() if spec.split != 'train')


def primary_metric(
    task: str, metrics: Mapping[str, Metric], measured: Mapping[str, Any]
) -> str | None:
    """The metric that a task is ranked by: one of its evaluation, never the training's loss.

    The first of the record's that :func:`ranking_metrics` lists; a pre-training has its first
    metric, or none. Values by the library's key, ``measured``, are for the message.

    Raises:
        ResultError: There is none, or a metric is not finite.
    """
    if wrong := [name for name, metric in metrics.items() if not math.isfinite(metric.value)]:
        raise ResultError(_message(task, f'not finite: {", ".join(wrong)}', measured))
    if task.startswith(PRETRAINING):
        return next(iter(metrics), None)
    allowed = ranking_metrics(task)
    found = [name for name in metrics if name in allowed]
    if not found:
        names = allowed if task.startswith(tuple(PRIMARY)) else ('a metric of an evaluation',)
        raise ResultError(_message(task, f'not measured: {" or ".join(names)}', measured))
    return found[0]


def _message(task: str, what: str, measured: Mapping[str, Any]) -> str:
    found = [f'{key} = {value:g}' for key, value in measured.items() if isinstance(value, Real)]
    return (
        f'{task}: no valid result ({what}; the run measured {", ".join(found) or "nothing"}). A '
        'validation set without labels or objects has none: check it with `mim-bench data check`, '
        'then the evaluator of the config.'
    )
