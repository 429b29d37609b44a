"""The leaderboard as Markdown, LaTeX, CSV, and in the forms of the Hugging Face Hub."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd
import yaml

from mim_bench.report import catalogue
from mim_bench.report.board import NAMES, NUMBERS, RANK, Board, Column
from mim_bench.report.notes import NOTES, conclusion, plural, reading_note, summary_line
from mim_bench.report.tables import KINDS, Table, sections
from mim_bench.report.text import csv_text, latex_text, markdown_text, one_line
from mim_bench.results.record import RunRecord


def render_markdown(board: Board) -> str:
    """Render the whole leaderboard; the same board gives the same text."""
    parts = ['# Leaderboard', summary_line(board), *(NOTES[f'tier-{tier}'] for tier in board.tiers)]
    parts.append(markdown_text(conclusion(board)))
    names = [*NAMES, *board.facts]
    parts.append(_markdown_board(board, names, board.results(headline=True)))
    parts.append(markdown_text(reading_note(board)))
    if further := board.results(headline=False):
        parts += ['## Further metrics', _markdown_board(board, NAMES, further)]
    for section in sections(board):
        parts += [f'## {section.title}', section.note]
        if section.columns:
            parts.append(_markdown_board(board, NAMES, section.columns))
        parts += [part for table in section.tables for part in (_markdown_table(table), table.note)]
    return '\n\n'.join(filter(None, parts)) + '\n'


def _to_markdown(frame: pd.DataFrame, is_number: Sequence[bool]) -> str:
    sides = ['right' if one else 'left' for one in is_number]
    return frame.to_markdown(
        index=False, tablefmt='pipe', disable_numparse=True, colalign=sides if len(frame) else None
    )


def _markdown_board(board: Board, names: Sequence[str], places: Sequence[int]) -> str:
    columns = [board.columns[place] for place in places]
    titles = [[c.title + c.measure, *filter(None, [c.qualifier])] for c in columns]
    titles = ['<br>'.join(map(markdown_text, title)) for title in titles]
    headings = {name: name for name in names} | dict(zip(places, titles, strict=True))
    frame = board.grid(headings, _markdown_entry, markdown_text)
    return _to_markdown(frame, [*(name in NUMBERS for name in names), *[True] * len(columns)])


def _markdown_entry(cell: Any) -> str:
    text = markdown_text(cell.text)
    text = f'**{text}**' if cell.is_best else text
    interval = f'<br>{markdown_text(cell.interval)}' if cell.interval else ''
    return f'{text} {cell.marks}'.strip() + interval


def _markdown_table(table: Table) -> str:
    if table.frame.empty:
        return ''
    frame = table.frame.map(lambda e: '<br>'.join(map(markdown_text, str(e).split('\n'))))
    if 'Link' in frame:
        parts = frame['Source'].str.partition('<br>')
        frame['Source'] = '[' + parts[0] + '](' + table.frame['Link'] + ')' + parts[1] + parts[2]
        frame = frame.drop(columns='Link')
    return _to_markdown(frame, [KINDS.get(name) == 'number' for name in frame])


# As many rows as a page is high; the other forms have all.
MOST_ROWS = 60
_LATEX = r"""%% Made by mim-bench report. Needs in the preamble:
%%   \usepackage{adjustbox}
%%   \usepackage{booktabs}
%%   \usepackage{textcomp}
%%   \usepackage[T1]{fontenc}

\begin{table*}
\centering
\caption{%s}
\label{tab:leaderboard}
\begin{adjustbox}{max width=\textwidth}
%s\end{adjustbox}
\end{table*}
"""


def render_latex(board: Board) -> str:
    """Render the headline columns as one table, whose caption says the protocols."""
    groups = board.grouped(board.results(headline=True))
    headings, rules = {name: ('', latex_text(name)) for name in NAMES}, []
    for column, places in groups:
        rules.append(rf'\cmidrule(lr){{{len(headings) + 1}-{len(headings) + len(places)}}}')
        for place in places:
            short = board.columns[place].short_title + board.columns[place].measure
            headings[place] = (latex_text(column.group_title), latex_text(short))
    frame = board.grid(headings, _latex_entry, latex_text)[:MOST_ROWS]
    sides = 'l' * len(NAMES) + 'r' * (len(headings) - len(NAMES))
    text = frame.to_latex(index=False, escape=False, multicolumn_format='c', column_format=sides)
    first, line, rest = text.partition('\\\\\n')
    caption = latex_text(' '.join(_caption(board, [column for column, _ in groups])))
    return _LATEX % (caption, f'{first}{line}{" ".join(rules)}\n{rest}')


def _caption(board: Board, columns: Sequence[Column]) -> Iterator[str]:
    yield f'{summary_line(board)}.'
    for column in columns:
        if (p := column.protocol) is not None:
            text = f'{column.group_title}: protocol {p.name} version {p.version}, hash {p.hash}'
            yield f'{text}, {p.tier} tier.' if p.tier != 'full' else f'{text}.'
    yield reading_note(board, with_intervals=False)
    yield from (NOTES[f'tier-{tier}'] for tier in board.tiers)
    if len(board.rows) > MOST_ROWS:
        more = plural(len(board.rows) - MOST_ROWS, 'further checkpoint')
        yield f'{more} in leaderboard.csv.'


def _latex_entry(cell: Any) -> str:
    text = latex_text(cell.text)
    text = rf'\textbf{{{text}}}' if cell.is_best else text
    return rf'{text}\textsuperscript{{{latex_text(cell.marks)}}}' if cell.marks else text


_CELLS = {
    'label': 'checkpoint', 'column': 'column', 'state': 'state', 'value': 'value', 'sd': 'sd',
    'low': 'ci_low', 'high': 'ci_high', 'interval_of': 'ci_of', 'is_tied': 'not_distinguishable',
    'is_best': 'is_best', 'saw_labels': 'saw_labels', 'note': 'note',
}  # fmt: skip
_COLUMNS = ['part', 'task', 'metric', 'title', 'unit', 'higher_is_better', 'is_ranked']


def render_csv(board: Board) -> str:
    """Every cell as one line, with unrounded values; costs of tasks come last."""
    rows = board.rows
    checkpoints = [_flat(checkpoint, 'id', 'known_from') for checkpoint in rows['checkpoint']]
    links = pd.DataFrame(list(rows['links']), rows.index, ['paper', 'code', 'weights'])
    known = pd.DataFrame(checkpoints, rows.index, dtype=object)
    known = known.assign(group=rows['folder'], mean_rank=rows[RANK]).join(links)
    columns = pd.DataFrame(map(vars, board.columns), columns=_COLUMNS)
    runs = pd.DataFrame(map(_facts_of_runs, board.cells['runs']), dtype=object)
    lines = board.cells[list(_CELLS)].rename(columns=_CELLS)
    lines = lines.join(known, on='checkpoint').join(columns, on='column').join(runs)
    # A sum is of runs of several protocols.
    lines = lines.astype(object)
    own = ['n', 'tier', *runs.columns[runs.columns.str.startswith('protocol')]]
    lines.loc[lines['part'] == 'total', own] = None
    lines['saw_labels'] = lines['saw_labels'].fillna('unknown').where(lines['is_ranked'])
    lines['checkpoint'] = pd.Categorical(lines['checkpoint'], rows.index)
    lines['column'] = lines['column'] >= board.costs_at
    lines = lines.sort_values(['column', 'checkpoint'], kind='stable')
    return _to_csv(lines.drop(columns=['column', 'part', 'is_ranked']))


def _facts_of_runs(runs: Sequence[RunRecord]) -> dict[str, Any]:
    last = runs[-1]
    return {
        'n': len(runs),
        'protocol': last.protocol.name,
        'protocol_version': last.protocol.version,
        'protocol_hash': last.protocol.hash,
        'tier': last.protocol.tier,
        'runs': ' '.join(run.run_id for run in runs),
        'seeds': ' '.join(str(run.seed) for run in runs),
        'started_at': last.started_at,
        'device': last.cost.device,
        'error': last.error,
    }


def render_runs_csv(board: Board) -> str:
    """Every run as one line, failed ones included: pre-training, then tasks by checkpoint."""
    records = sorted(
        board.records,
        key=lambda r: (
            not r.is_pretraining, catalogue.task_rank(r.task), r.checkpoint.id, r.run_id,
        ),
    )  # fmt: skip
    lines = [
        {
            'group': board.collection.group(record),
            **_flat(record, 'metrics', 'load', 'artifacts', 'batch', 'schema_version'),
            'results': ', '.join(
                f'{name} {m.value:.4g}{f" {m.unit}" if m.unit else ""} ({m.split})'
                for name, m in record.metrics.items()
            ),
            'weights_loaded': record.load and record.load.share,
            'effective_batch': record.batch and record.batch.effective_batch,
        }
        for record in records
    ]
    return _to_csv(pd.DataFrame(lines, dtype=object))


def render_published_csv(board: Board) -> str:
    """Every published result as one line, those that stand beside a row of ours first."""
    ours = [
        {
            'checkpoint': pair.label,
            'our_protocol': board.columns[pair.column].protocol.name,
            'our_protocol_hash': board.columns[pair.column].protocol.hash,
            'our_runs': len(pair.runs),
            'ours': pair.ours,
            'difference': pair.difference,
            'tolerance': pair.tolerance,
            'verdict': ': '.join(filter(None, (pair.verdict, '; '.join(pair.differences)))),
        }
        for pair in board.pairs
    ]
    results = [pair.result for pair in board.pairs]
    beside = set(map(id, results))
    results += [result for result in board.published if id(result) not in beside]
    theirs = [{**_flat(result), 'link': result.link} for result in results]
    return _to_csv(pd.DataFrame(ours).join(pd.DataFrame(theirs, dtype=object), how='right'))


def _to_csv(frame: pd.DataFrame) -> str:
    """CSV in which no text is a formula; what is not known is empty."""
    safe = {
        name: [csv_text(value) if isinstance(value, str) else value for value in values]
        for name, values in frame.items()
    }
    return pd.DataFrame(safe, dtype=object).to_csv(index=False, lineterminator='\n')


def _flat(data: object, *left_out: str) -> dict[str, object]:
    """The fields of a record and of its parts by their joined names; lists become texts."""
    line = {}
    for name, value in vars(data).items():
        parts = value if isinstance(value, dict) else getattr(value, '__dict__', None)
        if name in left_out:
            continue
        if parts is not None:
            line |= {f'{name}_{key}': part for key, part in parts.items()}
        else:
            line[name] = value
    texts = {name: v for name, v in line.items() if isinstance(v, list | dict)}
    return line | {name: '+'.join(map(str, v)) or 'none' for name, v in texts.items()}


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

    Without a ``source_url``, where this leaderboard stands, it names no source.
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
    measured = _measured(board)
    folders = _folder_names(measured)
    for label, cells in measured.items():
        folder = folders[label]
        model = _model(board, label, cells, source_url)
        front = _dump({'tags': ['masked-image-modeling'], 'model-index': [model]})
        title = one_line(f'{board.rows["Method"][label]}, {board.rows["Backbone"][label]}')
        files[f'{folder}/README.md'] = f'---\n{front}---\n\n# {title}\n'
        results = defaultdict(list)
        for cell in cells:
            column = board.columns[cell.column]
            name = f'{folder}/.eval_results/{_slug(column.task)}.{column.protocol.hash}.yaml'
            if (dataset := _dataset(column)[3]) is not None:
                results[name].append(_eval_result(cell, column, dataset, source_url))
        files |= {name: _dump(entries) for name, entries in results.items()}
    return files


# The longest name of a repository on the Hub; disks take 255 bytes.
_LONGEST_NAME = 96


def _slug(text: str) -> str:
    """A text as the name of a file or folder: no slash, no leading dot, not too long."""
    return re.sub(r'[^a-zA-Z0-9_.-]+', '-', one_line(text)).strip('.-')[:_LONGEST_NAME]


def _folder_names(labels: Iterable[str]) -> dict[str, str]:
    """A folder of its own for each label, also where disks ignore case."""
    names = {label: _slug(label) for label in labels}
    counts = Counter(name.lower() for name in names.values())
    for label, name in names.items():
        if counts[name.lower()] > 1 or len(label) > _LONGEST_NAME or not name:
            digest = hashlib.sha256(label.encode()).hexdigest()[:8]
            names[label] = f'{name[: _LONGEST_NAME - 9]}-{digest}'.lstrip('-')
    return names


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
    if of_robustness := re.match('imagenet-[^-]*', one_line(column.task)):
        name = of_robustness[0]
        return 'image-classification', name, catalogue.task_title(name), None
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
            'task': {'type': task, 'name': one_line(catalogue.task_title(column.task))},
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
