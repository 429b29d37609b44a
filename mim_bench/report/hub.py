"""The measured numbers in the two forms of the Hugging Face Hub: ``model-index`` and eval results.

Only full tiers are told: smoke and proxy numbers are no results of a model, and published ones are
not ours.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import yaml

from mim_bench.report.board import Column, ColumnGroup, Leaderboard, Row
from mim_bench.report.catalogue import task_title
from mim_bench.report.text import one_line

# What the names of our tasks begin with -> task, data set of model cards, its title, and its id.
_DATASETS = {
    'in1k-': ('image-classification', 'imagenet-1k', 'ImageNet-1K', 'ILSVRC/imagenet-1k'),
    'ade20k-': ('image-segmentation', 'scene_parse_150', 'ADE20K', 'zhoubolei/scene_parse_150'),
    'coco-': ('object-detection', 'coco', 'COCO 2017', 'detection-datasets/coco'),
}
_METRICS = {
    'top1': 'accuracy', 'top5': 'accuracy', 'knn_top1': 'accuracy', 'linear_top1': 'accuracy',
    'mIoU': 'mean_iou', 'bbox_mAP': 'box_ap', 'segm_mAP': 'mask_ap',
}  # fmt: skip
_SPLITS = {'val': 'validation'}
# Unrounded values end in noise of floats.
_DIGITS = 4


def render_model_index(board: Leaderboard, source_url: str | None = None) -> str:
    """Render YAML with a ``model-index`` entry for each checkpoint, for front matters of cards.

    Args:
        board: What was measured.
        source_url: Where this leaderboard stands; no source if None, since the Hub wants an
            address with it.
    """
    models = (_model(board, row, source_url) for row in board.rows)
    return _dump({'model-index': [model for model in models if model['results']]})


def hub_files(board: Leaderboard, source_url: str | None = None) -> dict[str, str]:
    """Files to upload into the model repository of each checkpoint, by their relative path.

    ``<checkpoint>/README.md`` is a card whose front matter holds the ``model-index``;
    ``<checkpoint>/.eval_results/<task>.<protocol hash>.yaml`` holds the same numbers in the form
    that the Hub's benchmarks read. A task without a data set on the Hub has no such file.
    """
    files = {}
    for row in board.rows:
        model = _model(board, row, source_url)
        if not model['results']:
            continue
        folder = re.sub(r'[^\w.-]+', '-', one_line(row.label)).strip('.-') or 'checkpoint'
        front = _dump({'tags': ['masked-image-modeling'], 'model-index': [model]})
        title = one_line(f'{row.method}, {row.checkpoint.backbone}')
        files[f'{folder}/README.md'] = f'---\n{front}---\n\n# {title}\n'
        for group, _, columns in _measured(board, row):
            if _dataset(group.task)[3] is not None:
                name = f'{folder}/.eval_results/{group.task}.{group.protocol.hash}.yaml'
                files[name] = _dump([_eval_result(row, c, group, source_url) for c in columns])
    return files


def _dump(data: Any) -> str:
    # libyaml's writer where there is one, several times as fast.
    dumper = getattr(yaml, 'CSafeDumper', yaml.SafeDumper)
    return yaml.dump(
        data, Dumper=dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )


def _measured(board: Leaderboard, row: Row) -> Iterator[tuple[ColumnGroup, str, list[Column]]]:
    """The full columns in which a row has a number, by group and by the split that was measured."""
    for group, columns in board.groups_of(headline=True):
        found = defaultdict(list)
        for column in columns:
            cell = row.cell(column)
            if group.tier == 'full' and cell.state == 'value':
                split = one_line(cell.runs[-1].metrics[column.metric].split)
                found[_SPLITS.get(split, split)].append(column)
        yield from ((group, split, columns) for split, columns in found.items())


def _dataset(task: str) -> tuple[str, str, str, str | None]:
    for prefix, facts in _DATASETS.items():
        if task.startswith(prefix):
            return facts
    return (one_line(task),) * 3 + (None,)


def _title(column: Column) -> str:
    return f'{column.title}{f" ({column.unit})" if column.unit else ""}'


def _model(board: Leaderboard, row: Row, source_url: str | None) -> dict[str, Any]:
    results = []
    for group, split, columns in _measured(board, row):
        task, dataset, title, _ = _dataset(group.task)
        results.append(
            {
                'task': {'type': task, 'name': one_line(task_title(group.task))},
                'dataset': {'type': dataset, 'name': title, 'split': split},
                'metrics': [_metric(row, column, group) for column in columns],
                **({'source': {'name': 'mim_bench', 'url': source_url}} if source_url else {}),
            }
        )
    return {'name': one_line(row.label), 'results': results}


def _metric(row: Row, column: Column, group: ColumnGroup) -> dict[str, Any]:
    cell, protocol = row.cell(column), group.protocol
    return {
        'type': _METRICS.get(column.metric, one_line(column.metric)),
        'value': round(cell.value, _DIGITS),
        'name': one_line(_title(column)),
        'args': {
            'protocol': one_line(protocol.name),
            'protocol_version': one_line(protocol.version),
            'protocol_hash': protocol.hash,
            'seeds': [run.seed for run in cell.runs],
        },
    }


def _eval_result(
    row: Row, column: Column, group: ColumnGroup, source_url: str | None
) -> dict[str, Any]:
    cell, p = row.cell(column), group.protocol
    notes = f'{_title(column)}, protocol {p.name} version {p.version}, hash {p.hash}'
    task = re.sub(r'\W+', '_', f'{group.task}_{column.metric}').lower()
    return {
        'dataset': {'id': _dataset(group.task)[3], 'task_id': task},
        'value': round(cell.value, _DIGITS),
        'date': max(run.started_at for run in cell.runs),
        **({'source': {'url': source_url, 'name': 'mim_bench'}} if source_url else {}),
        'notes': one_line(f'{notes}, {len(cell.runs)} seed(s)'),
    }
