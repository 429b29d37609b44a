"""The leaderboard in the forms of the Hugging Face Hub: model index, cards, evaluation results."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import yaml

from mim_bench.report.board import Board, Column
from mim_bench.report.catalogue import task_title
from mim_bench.report.text import one_line

# What the names of our tasks begin with -> task, data set of model cards, its title, and its id.
_DATASETS = {
    'in1k': ('image-classification', 'imagenet-1k', 'ImageNet-1K', 'ILSVRC/imagenet-1k'),
    'ade20k': ('image-segmentation', 'scene_parse_150', 'ADE20K', 'zhoubolei/scene_parse_150'),
    'coco': ('object-detection', 'coco', 'COCO 2017', 'detection-datasets/coco'),
}
_METRICS = {
    'top1': 'accuracy', 'top5': 'accuracy', 'knn_top1': 'accuracy', 'linear_top1': 'accuracy',
    'mIoU': 'mean_iou', 'bbox_mAP': 'box_ap', 'segm_mAP': 'mask_ap',
}  # fmt: skip
_SPLITS = {'val': 'validation'}
# Unrounded values end in noise of floats.
_DIGITS = 4


def render_model_index(board: Board, source_url: str | None = None) -> str:
    """Render YAML with a ``model-index`` entry for each checkpoint, for front matters of cards.

    Args:
        board: What was measured.
        source_url: Where this leaderboard stands; no source if None, since the Hub wants an
            address with it.
    """
    models = [_model(board, *row, source_url) for row in _measured(board).items()]
    return _dump({'model-index': models})


def hub_files(board: Board, source_url: str | None = None) -> dict[str, str]:
    """Files to upload into the model repository of each checkpoint, by their relative path.

    ``<checkpoint>/README.md`` is a card whose front matter holds the ``model-index``;
    ``<checkpoint>/.eval_results/<task>.<protocol hash>.yaml`` holds the same numbers in the form
    that the Hub's benchmarks read. A task without a data set on the Hub has no such file.
    """
    files = {}
    for label, cells in _measured(board).items():
        folder = re.sub(r'[^\w.-]+', '-', one_line(label)).strip('.-') or 'checkpoint'
        model = _model(board, label, cells, source_url)
        front = _dump({'tags': ['masked-image-modeling'], 'model-index': [model]})
        title = one_line(f'{board.rows["Method"][label]}, {board.rows["Backbone"][label]}')
        files[f'{folder}/README.md'] = f'---\n{front}---\n\n# {title}\n'
        results = defaultdict(list)
        for cell in cells:
            column = board.columns[cell.column]
            name = f'{folder}/.eval_results/{column.task}.{column.protocol.hash}.yaml'
            if (dataset := _dataset(column)[3]) is not None:
                results[name].append(_eval_result(cell, column, dataset, source_url))
        files |= {name: _dump(entries) for name, entries in results.items()}
    return files


def _dump(data: Any) -> str:
    # libyaml's writer where there is one, several times as fast.
    dumper = getattr(yaml, 'CSafeDumper', yaml.SafeDumper)
    return yaml.dump(
        data, Dumper=dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )


def _measured(board: Board) -> dict[str, list[Any]]:
    """The cells of results of the full tier, by the labels of the rows in their order."""
    full = [place for place in board.results(headline=True) if board.columns[place].tier == 'full']
    is_shown = board.cells['column'].isin(full) & board.cells['state'].eq('value')
    found = {label: [] for label in board.rows.index}
    for cell in board.cells[is_shown].itertuples():
        found[cell.label].append(cell)
    return {label: cells for label, cells in found.items() if cells}


def _dataset(column: Column) -> tuple[str, str, str, str | None]:
    return _DATASETS.get(column.task.partition('-')[0], (one_line(column.task),) * 3 + (None,))


def _title(column: Column) -> str:
    return f'{column.title}{f" ({column.unit})" if column.unit else ""}'


def _source(source_url: str | None) -> dict[str, Any]:
    return {'source': {'name': 'mim_bench', 'url': source_url}} if source_url else {}


def _model(
    board: Board, label: str, cells: Sequence[Any], source_url: str | None
) -> dict[str, Any]:
    results: dict[tuple[str, str], dict[str, Any]] = {}
    for cell in cells:
        column = board.columns[cell.column]
        p, split = column.protocol, _SPLITS.get(column.split, one_line(column.split))
        task, dataset, title, _ = _dataset(column)
        result = {
            'task': {'type': task, 'name': one_line(task_title(column.task))},
            'dataset': {'type': dataset, 'name': title, 'split': split},
            'metrics': [],
            **_source(source_url),
        }
        metric = {
            'type': _METRICS.get(column.metric, one_line(column.metric)),
            'value': round(cell.value, _DIGITS),
            'name': one_line(_title(column)),
            'args': {
                'protocol': one_line(p.name),
                'protocol_version': one_line(p.version),
                'protocol_hash': p.hash,
                'seeds': [run.seed for run in cell.runs],
            },
        }
        results.setdefault((column.group, split), result)['metrics'].append(metric)
    return {'name': one_line(label), 'results': list(results.values())}


def _eval_result(cell: Any, column: Column, dataset: str, source_url: str | None) -> dict[str, Any]:
    p = column.protocol
    notes = f'{_title(column)}, protocol {p.name} version {p.version}, hash {p.hash}'
    task = re.sub(r'\W+', '_', f'{column.task}_{column.metric}').lower()
    return {
        'dataset': {'id': dataset, 'task_id': task},
        'value': round(cell.value, _DIGITS),
        'date': max(run.started_at for run in cell.runs),
        **_source(source_url),
        'notes': one_line(f'{notes}, {len(cell.runs)} seed(s)'),
    }
