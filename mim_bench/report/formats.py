"""The leaderboard as Markdown, LaTeX, CSV, and in the forms of the Hugging Face Hub."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from mim_bench.report.board import NAMES, Cell, Column, ColumnGroup, Fact, Leaderboard, Row
from mim_bench.report.catalogue import task_title
from mim_bench.report.tables import (
    KINDS,
    NOTES,
    Table,
    conclusion,
    flat,
    plural,
    reading_note,
    run_lines,
    sections,
    summary_line,
)
from mim_bench.report.text import csv_text, latex_text, markdown_text, one_line
from mim_bench.results.published import PublishedResult


def board_frame(
    rows: Sequence[Row],
    columns: Sequence[Fact | Column],
    heading: Callable[[Fact | Column], object],
    entry: Callable[[Fact | Column, Row], str],
) -> pd.DataFrame:
    """Rows and columns of the board as the text of one format."""
    headings = [heading(column) for column in columns]
    if headings and isinstance(headings[0], tuple):
        headings = pd.MultiIndex.from_tuples(headings)
    lines = [[entry(column, row) for column in columns] for row in rows]
    return pd.DataFrame(lines, columns=headings, dtype=object)


def result_columns(board: Leaderboard, *, headline: bool) -> list[Fact | Column]:
    """The columns of the results: names, mean rank, facts and headline numbers, or the rest."""
    columns = [column for _, some in board.groups_of(headline=headline) for column in some]
    return [*NAMES, *(board.facts if headline else []), *columns]


def render_markdown(board: Leaderboard) -> str:
    """Render the whole leaderboard; the same board gives the same text."""
    parts = ['# Leaderboard', summary_line(board), *(NOTES[f'tier-{tier}'] for tier in board.tiers)]
    parts.append(markdown_text(conclusion(board)))
    parts.append(_markdown_board(board, result_columns(board, headline=True)))
    parts.append(markdown_text(reading_note(board)))
    if board.groups_of(headline=False):
        columns = result_columns(board, headline=False)
        parts += ['## Further metrics', _markdown_board(board, columns)]
    for section in sections(board):
        parts += [f'## {section.title}', section.note]
        if section.columns:
            columns = [column for _, some in section.columns for column in some]
            parts.append(_markdown_board(board, [*NAMES, *columns]))
        parts += [part for table in section.tables for part in (_markdown_table(table), table.note)]
    return '\n\n'.join(filter(None, parts)) + '\n'


def _to_markdown(frame: pd.DataFrame, is_number: Sequence[bool]) -> str:
    sides = ['right' if one else 'left' for one in is_number]
    return frame.to_markdown(
        index=False, tablefmt='pipe', disable_numparse=True, colalign=sides if len(frame) else None
    )


def _markdown_board(board: Leaderboard, columns: Sequence[Fact | Column]) -> str:
    frame = board_frame(board.rows, columns, _markdown_heading, _markdown_entry)
    return _to_markdown(frame, [column.is_number for column in columns])


def _markdown_heading(column: Fact | Column) -> str:
    if isinstance(column, Fact):
        return markdown_text(column.title)
    return '<br>'.join(map(markdown_text, filter(None, (column.heading, column.qualifier))))


def _markdown_entry(column: Fact | Column, row: Row) -> str:
    text = markdown_text(column.text(row))
    if isinstance(column, Fact):
        return text
    cell, interval = row.cell(column), column.interval(row)
    text = f'**{text}**' if cell.is_best else text
    return f'{text} {cell.marks}'.strip() + (f'<br>{markdown_text(interval)}' if interval else '')


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
_LATEX_HEAD = r"""% Made by mim-bench report. Needs in the preamble:
%   \usepackage{adjustbox}
%   \usepackage{booktabs}
%   \usepackage{textcomp}
%   \usepackage[T1]{fontenc}"""
_LATEX_TABLE = r"""\begin{table*}
\centering
\caption{%s}
\label{tab:leaderboard}
\begin{adjustbox}{max width=\textwidth}
%s\end{adjustbox}
\end{table*}"""


def render_latex(board: Leaderboard) -> str:
    """Render the headline columns as one table, whose caption says the protocols."""
    groups = board.groups_of(headline=True)
    caption = latex_text(' '.join(_caption(board, [group for group, _ in groups])))
    table = _LATEX_TABLE % (caption, _latex_tabular(board.rows[:MOST_ROWS], groups))
    return f'{_LATEX_HEAD}\n\n{table}\n'


def _caption(board: Leaderboard, groups: Sequence[ColumnGroup]) -> Iterator[str]:
    yield f'{summary_line(board)}.'
    for group in groups:
        if (p := group.protocol) is not None:
            tier = f', {p.tier} tier' if p.tier != 'full' else ''
            yield f'{group.title}: protocol {p.name} version {p.version}, hash {p.hash}{tier}.'
    yield reading_note(board, with_intervals=False)
    yield from (NOTES[f'tier-{tier}'] for tier in board.tiers)
    if len(board.rows) > MOST_ROWS:
        more = plural(len(board.rows) - MOST_ROWS, 'further checkpoint')
        yield f'{more} in leaderboard.csv.'


def _latex_tabular(rows: Sequence[Row], groups: Sequence[tuple[ColumnGroup, list[Column]]]) -> str:
    titles, rules = {}, []
    for group, columns in groups:
        start = len(NAMES) + len(titles) + 1
        rules.append(rf'\cmidrule(lr){{{start}-{start + len(columns) - 1}}}')
        titles |= dict.fromkeys(columns, latex_text(group.title))

    def heading(column: Fact | Column) -> tuple[str, str]:
        if isinstance(column, Fact):
            return ('', latex_text(column.title))
        return (titles[column], latex_text(column.short_title + column.measure))

    frame = board_frame(rows, [*NAMES, *titles], heading, _latex_entry)
    sides = 'l' * len(NAMES) + 'r' * len(titles)
    text = frame.to_latex(index=False, escape=False, multicolumn_format='c', column_format=sides)
    first, line, rest = text.partition('\\\\\n')
    return f'{first}{line}{" ".join(rules)}\n{rest}'


def _latex_entry(column: Fact | Column, row: Row) -> str:
    text = latex_text(column.text(row))
    if isinstance(column, Fact):
        return text
    cell = row.cell(column)
    text = rf'\textbf{{{text}}}' if cell.is_best else text
    return rf'{text}\textsuperscript{{{latex_text(cell.marks)}}}' if cell.marks else text


def render_csv(board: Leaderboard) -> str:
    """Every cell that is not missing as one line, with unrounded values; costs come last."""
    costs = [column for group in board.costs for column in group.columns]
    known = {row.label: flat(row.checkpoint, 'id', 'known_from') for row in board.rows}
    return _to_csv(
        _cell_facts(row, known[row.label], column, cell)
        for columns in (board.columns, costs)
        for row in board.rows
        for column in columns
        if (cell := row.cell(column)).state != 'missing'
    )


def render_runs_csv(board: Leaderboard) -> str:
    """Every run as one line, failed ones included; unknown values are empty."""
    return _to_csv(run_lines(board))


def render_published_csv(board: Leaderboard) -> str:
    """Every published result as one line, those that stand beside a row of ours first."""
    section = board.published
    beside = {id(pair.published) for pair in section.comparisons}
    others = [one for one in section.results if id(one) not in beside]
    pairs = [
        {
            'checkpoint': pair.row.label,
            'our_protocol': pair.protocol.name,
            'our_protocol_hash': pair.protocol.hash,
            'our_runs': len(pair.cell.runs),
            'ours': pair.cell.value,
            'difference': pair.difference,
            'tolerance': pair.tolerance,
            'verdict': pair.verdict_text,
            **_published_facts(pair.published),
        }
        for pair in section.comparisons
    ]
    return _to_csv([*pairs, *map(_published_facts, others)])


def _published_facts(result: PublishedResult) -> dict[str, object]:
    return {**flat(result), 'link': result.link}


def _to_csv(lines: Iterable[Mapping[str, object]]) -> str:
    """CSV in which no text is a formula; what is not known is empty."""
    safe = [
        {name: csv_text(v) if isinstance(v, str) else v for name, v in line.items()}
        for line in lines
    ]
    return pd.DataFrame(safe, dtype=object).to_csv(index=False, lineterminator='\n')


def _cell_facts(
    row: Row, known: Mapping[str, object], column: Column, cell: Cell
) -> dict[str, object]:
    run = cell.runs[-1]
    # A sum is of runs of several protocols.
    protocol = None if column.is_sum else run.protocol
    low, high = cell.interval or (None, None)
    saw_labels = 'unknown' if cell.saw_labels is None else cell.saw_labels
    return {
        'checkpoint': row.label,
        'group': row.group,
        **known,
        'mean_rank': row.rank,
        'task': column.task if column.is_sum else run.task,
        'metric': column.metric,
        'title': column.title,
        'saw_labels': saw_labels if column.is_ranked else None,
        'state': cell.state,
        'value': cell.value,
        'n': None if column.is_sum else len(cell.runs),
        'sd': cell.sd,
        'ci_low': low,
        'ci_high': high,
        'ci_of': cell.interval_of,
        'not_distinguishable': cell.is_tied,
        'unit': column.unit,
        'higher_is_better': column.higher_is_better,
        'is_best': cell.is_best,
        'protocol': protocol and protocol.name,
        'protocol_version': protocol and protocol.version,
        'protocol_hash': protocol and protocol.hash,
        'tier': protocol and protocol.tier,
        'runs': ' '.join(r.run_id for r in cell.runs),
        'seeds': ' '.join(str(r.seed) for r in cell.runs),
        'started_at': run.started_at,
        'device': run.cost.device,
        'error': run.error,
        'note': cell.tip,
        **{name: row.links.get(name) for name in ('paper', 'code', 'weights')},
    }


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
        results = defaultdict(list)
        for group, column, _ in _measured(board, row):
            if (dataset := _dataset(group)[3]) is not None:
                name = f'{folder}/.eval_results/{group.task}.{group.protocol.hash}.yaml'
                results[name].append(_eval_result(row, column, group, dataset, source_url))
        files |= {name: _dump(entries) for name, entries in results.items()}
    return files


def _dump(data: Any) -> str:
    # libyaml's writer where there is one, several times as fast.
    dumper = getattr(yaml, 'CSafeDumper', yaml.SafeDumper)
    return yaml.dump(
        data, Dumper=dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )


def _measured(board: Leaderboard, row: Row) -> Iterator[tuple[ColumnGroup, Column, str]]:
    """The full columns in which a row has a number, with the split that was measured on."""
    for group, columns in board.groups_of(headline=True):
        for column in columns if group.tier == 'full' else ():
            cell = row.cell(column)
            if cell.state == 'value':
                split = one_line(cell.runs[-1].metrics[column.metric].split)
                yield group, column, _SPLITS.get(split, split)


def _dataset(group: ColumnGroup) -> tuple[str, str, str, str | None]:
    return _DATASETS.get(group.task.partition('-')[0], (one_line(group.task),) * 3 + (None,))


def _title(column: Column) -> str:
    return f'{column.title}{f" ({column.unit})" if column.unit else ""}'


def _source(source_url: str | None) -> dict[str, Any]:
    return {'source': {'name': 'mim_bench', 'url': source_url}} if source_url else {}


def _model(board: Leaderboard, row: Row, source_url: str | None) -> dict[str, Any]:
    results: dict[tuple[str, str], dict[str, Any]] = {}
    for group, column, split in _measured(board, row):
        task, dataset, title, _ = _dataset(group)
        result = results.setdefault(
            (group.key, split),
            {
                'task': {'type': task, 'name': one_line(task_title(group.task))},
                'dataset': {'type': dataset, 'name': title, 'split': split},
                'metrics': [],
                **_source(source_url),
            },
        )
        cell, protocol = row.cell(column), group.protocol
        args = {
            'protocol': one_line(protocol.name),
            'protocol_version': one_line(protocol.version),
            'protocol_hash': protocol.hash,
            'seeds': [run.seed for run in cell.runs],
        }
        result['metrics'].append(
            {
                'type': _METRICS.get(column.metric, one_line(column.metric)),
                'value': round(cell.value, _DIGITS),
                'name': one_line(_title(column)),
                'args': args,
            }
        )
    return {'name': one_line(row.label), 'results': list(results.values())}


def _eval_result(
    row: Row, column: Column, group: ColumnGroup, dataset: str, source_url: str | None
) -> dict[str, Any]:
    cell, p = row.cell(column), group.protocol
    notes = f'{_title(column)}, protocol {p.name} version {p.version}, hash {p.hash}'
    task = re.sub(r'\W+', '_', f'{group.task}_{column.metric}').lower()
    return {
        'dataset': {'id': dataset, 'task_id': task},
        'value': round(cell.value, _DIGITS),
        'date': max(run.started_at for run in cell.runs),
        **_source(source_url),
        'notes': one_line(f'{notes}, {len(cell.runs)} seed(s)'),
    }
