"""The measured numbers as ``model-index`` of Hugging Face's model cards, one entry a checkpoint.

Only full tiers are told: smoke and proxy numbers are no results of a model, and published ones are
not ours.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from mim_bench.report.catalogue import task_title
from mim_bench.report.leaderboard import Column, ColumnGroup, Leaderboard, Row
from mim_bench.report.plain_text import one_line

# What the names of our tasks begin with -> task and data set of the Hub.
_DATASETS = {
    'in1k-': ('image-classification', 'imagenet-1k', 'ImageNet-1K'),
    'ade20k-': ('image-segmentation', 'scene_parse_150', 'ADE20K'),
    'coco-': ('object-detection', 'coco', 'COCO 2017'),
}
_METRICS = {
    'top1': 'accuracy',
    'top5': 'accuracy',
    'knn_top1': 'accuracy',
    'linear_top1': 'accuracy',
    'mIoU': 'mean_iou',
    'bbox_mAP': 'box_ap',
    'segm_mAP': 'mask_ap',
}
_SPLITS = {'val': 'validation'}
# Unrounded values end in noise of floats.
_DIGITS = 4


def render_model_index(board: Leaderboard, source_url: str | None = None) -> str:
    """Render YAML whose ``model-index`` belongs into the front matter of a model card.

    Args:
        board: What was measured.
        source_url: Where this leaderboard stands, for readers of the card; no source if None,
            since the Hub wants an address with it.
    """
    models = []
    for row in board.rows:
        results = list(_results(row, board.groups, source_url))
        if results:
            models.append({'name': one_line(row.label), 'results': results})
    # libyaml's writer where there is one, several times as fast.
    return yaml.dump(
        {'model-index': models},
        Dumper=getattr(yaml, 'CSafeDumper', yaml.SafeDumper),
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
    )


def _results(
    row: Row, groups: list[ColumnGroup], source_url: str | None
) -> Iterator[dict[str, Any]]:
    for group in groups:
        protocol = group.protocol
        if protocol is None or protocol.tier != 'full':
            continue
        for split, columns in _by_split(row, group.columns).items():
            task, dataset, title = _dataset(group.task)
            yield {
                'task': {'type': task, 'name': one_line(task_title(group.task))},
                'dataset': {'type': dataset, 'name': title, 'split': _SPLITS.get(split, split)},
                'metrics': [_metric(row, column, group) for column in columns],
                **({'source': {'name': 'mim_bench', 'url': source_url}} if source_url else {}),
            }


def _by_split(row: Row, columns: list[Column]) -> dict[str, list[Column]]:
    """The headline columns in which a row has a number, by the split that was measured."""
    found: dict[str, list[Column]] = {}
    for column in columns:
        cell = row.cell(column)
        if column.is_headline and cell.state == 'value':
            split = cell.runs[-1].metrics[column.metric].split
            found.setdefault(one_line(split), []).append(column)
    return found


def _dataset(task: str) -> tuple[str, str, str]:
    for prefix, facts in _DATASETS.items():
        if task.startswith(prefix):
            return facts
    return (one_line(task),) * 3


def _metric(row: Row, column: Column, group: ColumnGroup) -> dict[str, Any]:
    cell, protocol = row.cell(column), group.protocol
    unit = f' ({column.unit})' if column.unit else ''
    name = one_line(f'{column.title}{unit}')
    args = {
        'protocol': one_line(protocol.name),
        'protocol_version': one_line(protocol.version),
        'protocol_hash': protocol.hash,
        'seeds': [run.seed for run in cell.runs],
    }
    return {
        'type': _METRICS.get(column.metric, one_line(column.metric)),
        'value': round(cell.value, _DIGITS),
        'name': name,
        'args': args,
    }
