"""Turns records into a leaderboard: rows, columns, what is ranked, the order.

One table holds a line for each number of a run that counts, costs included; everything else is
grouped from it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mim_bench.report import catalogue
from mim_bench.report.board import NUMBERS, RANK, Board, Column
from mim_bench.report.costs import QUANTITIES, cost_column, cost_numbers, total_numbers
from mim_bench.report.published import match, sort_published
from mim_bench.report.spread import SampleReader, add_spread
from mim_bench.results.published import PublishedResult, load_published
from mim_bench.results.record import RANDOM_METHOD, RunRecord, data_set_of, share_labels
from mim_bench.results.store import Collection

# Behind a value that tests cannot tell from the best of its column.
TIE_MARK = '\N{ALMOST EQUAL TO}'
# Behind a value whose backbone saw labels of the task's data set, did not, or may have.
LABELS_MARKS = {True: '\N{DOUBLE DAGGER}', False: '', None: '?'}
# What makes a column.
_KEY = ['part', 'group', 'metric', 'unit', 'higher_is_better', 'split']


def build_leaderboard(
    collection: Collection,
    published: Sequence[PublishedResult] | None = None,
    links: Mapping[str, Mapping[str, str]] | None = None,
) -> Board:
    """Arrange the records of a collection as rows and columns.

    A row is a checkpoint id; an id that stands for files with different hashes gives one row a
    file, and in merged folders each folder has rows of its own. A column is one metric of one
    task under one protocol hash and tier, so numbers that were not measured alike are never
    compared.

    Args:
        collection: The records.
        published: Numbers of others to show beside them; those of the package if None.
        links: Addresses (``paper``, ``code``, ``weights``) by checkpoint id, SHA-256 or method.
    """
    runs = _labelled(collection)
    rows = _make_rows(runs, links or {})
    columns, cells = _make_cells(_counted(runs, rows), rows)
    costs_at = sum(column.part not in ('total', 'cost') for column in columns)
    board = Board(rows, columns, costs_at, cells, collection)
    board = _rank(board)
    reader = SampleReader(collection)
    cells = add_spread(board.cells, columns, reader)
    texts = [_texts(cell, columns[cell.column]) for cell in cells.itertuples()]
    texts = pd.DataFrame(texts, columns=['text', 'marks', 'interval'], index=cells.index)
    board = replace(
        board,
        cells=cells.join(texts),
        published=sort_published(load_published() if published is None else published),
        damaged=[*collection.damaged, *(reader.damaged[path] for path in sorted(reader.damaged))],
    )
    return replace(board, pairs=match(board))


def _labelled(collection: Collection) -> pd.DataFrame:
    """A line a run, the oldest first, with the label of its row and the group of its columns."""
    runs = pd.DataFrame(
        {
            'run': run, 'folder': collection.group(run), 'name': run.checkpoint.id,
            'sha256': run.checkpoint.sha256, 'is_pretraining': run.is_pretraining,
            'is_done': run.status == 'done', 'seed': run.seed, 'task': run.task,
            'group': _group(run),
            'started_at': run.started_at, 'run_id': run.run_id,
        }
        for run in collection.records
    )  # fmt: skip
    runs = runs.sort_values(['started_at', 'run_id'], ignore_index=True)
    # What pre-training wrote may be converted before it is used, with another hash.
    hashes = runs['sha256'].mask(runs['is_pretraining'])
    is_split = hashes.groupby([runs['name'], runs['folder']]).transform('nunique') > 1
    runs['name'] += ('@' + runs['sha256'].fillna('unknown').str[:8]).where(is_split, '')
    folders = ' (' + runs['folder'] + ')'
    runs['label'] = runs['name'] + folders.where(runs['folder'] != '', '')
    # Nothing says which of several files came out of a pre-training.
    return runs[~(is_split & runs['is_pretraining'])]


def _group(run: RunRecord) -> str:
    tier = run.protocol.tier
    if run.is_pretraining:
        return 'pretrain' if tier == 'full' else f'pretrain.{tier}'
    return f'{run.task}.{tier}.{run.protocol.hash}'


def _make_rows(runs: pd.DataFrame, links: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """The rows; what was stated last about a checkpoint counts, by a task if there is one."""
    latest = runs.sort_values('is_pretraining', ascending=False, kind='stable')
    latest = latest.drop_duplicates('label', keep='last').set_index('label').sort_index()
    latest['runs'] = runs.sort_values('run_id').groupby('label')['run'].agg(list)
    lines = [_row(line, links) for line in latest.itertuples()]
    rows = pd.DataFrame(lines, index=latest.index)
    return rows.astype({name: float for name in NUMBERS if name != RANK})


def _row(latest: Any, links: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    checkpoint = latest.run.checkpoint
    found = catalogue.method_links(checkpoint.method)
    for key in (checkpoint.method, checkpoint.sha256, checkpoint.id):
        found |= links.get(key, {})
    is_random = checkpoint.method == RANDOM_METHOD
    data, labels = checkpoint.pretrain_data, checkpoint.labels
    facts = {
        'Image (px)': checkpoint.img_size,
        'Data': data and catalogue.data_titles([data]),
        'Epochs': checkpoint.pretrain_epochs,
        'Labels seen': None if labels is None else catalogue.data_titles(labels) or 'none',
    }
    return {
        'Method': catalogue.method_title(checkpoint.method),
        'Backbone': checkpoint.backbone,
        'Checkpoint': latest.Index,
        'Params (M)': checkpoint.params and checkpoint.params / 1e6,
        **(dict.fromkeys(facts) if is_random else facts),
        'checkpoint': checkpoint,
        'runs': latest.runs,
        'name': latest.name,
        'folder': latest.folder,
        'links': found,
        'is_random': is_random,
        'is_baseline': is_random or checkpoint.method.startswith(catalogue.SUPERVISED),
    }


def _counted(runs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The runs that count: of several with one seed the latest finished, one pre-training a row.

    Those that failed count where none finished.
    """
    is_needed = runs['is_pretraining'] & ~runs['label'].map(rows['is_random'])
    pretrainings = runs[is_needed].sort_values('is_done', kind='stable')
    pretrainings = pretrainings.drop_duplicates('label', keep='last')
    tuned = runs[~runs['is_pretraining']]
    done = tuned[tuned['is_done']].drop_duplicates(['label', 'group', 'seed'], keep='last')
    places, others = (pd.MultiIndex.from_frame(one[['label', 'group']]) for one in (tuned, done))
    failed = tuned[~places.isin(others)]
    return pd.concat([pretrainings, done.sort_values('seed', kind='stable'), failed])


def _make_cells(counted: pd.DataFrame, rows: pd.DataFrame) -> tuple[list[Column], pd.DataFrame]:
    """The columns in their order, and the cells by label and column."""
    done = counted[counted['is_done']]
    lines = [*_results(counted), *cost_numbers(counted), *total_numbers(done, rows)]
    numbers = pd.DataFrame(lines, columns=[*_KEY, 'label', 'run', 'value', 'unknown'])
    grouped = numbers.astype({'value': float}).groupby([*_KEY, 'label'])
    cells = grouped['value'].agg(['mean', 'max', 'sum', 'count', 'size'])
    runs, unknown = defaultdict(list), defaultdict(dict)
    for line in lines:
        key = tuple(line[name] for name in cells.index.names)
        runs[key] += [line['run']] if line.get('run') else []
        unknown[key] |= {line['unknown']: None} if line.get('unknown') else {}
    cells['runs'] = [tuple(runs[key]) for key in cells.index]
    cells['unknown'] = [list(unknown[key]) for key in cells.index]
    cells = cells.reset_index()
    is_known, is_total = cells['count'] == cells['size'], cells['part'] == 'total'
    is_peak = cells['metric'] == 'peak_mem_bytes'
    cells['value'] = cells['mean'].mask(is_peak, cells['max']).mask(is_total, cells['sum'])
    cells['value'] = cells['value'].where(is_known)
    cells['state'] = np.select([is_known, is_total], ['value', 'unknown'], 'failed')
    columns = _make_columns(counted, cells)
    cells = cells.sort_values(['label', 'column'], ignore_index=True)
    notes = [_note(cell, columns[cell.column]) for cell in cells.itertuples()]
    notes = pd.DataFrame(notes, columns=['saw_labels', 'note'], dtype=object)
    return columns, cells[['label', 'column', 'state', 'value', 'runs']].join(notes)


def _results(counted: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A line for each metric of a downstream run, without a value where it failed."""
    metrics: dict[str, dict[tuple, None]] = defaultdict(dict)
    for line in counted[~counted['is_pretraining']].itertuples():
        number = {'part': 'task', 'group': line.group, 'label': line.label, 'run': line.run}
        for name, m in line.run.metrics.items() if line.is_done else ():
            key = (name, m.unit, m.higher_is_better, m.split)
            metrics[line.group][key] = None
            yield number | dict(zip(_KEY[2:], key, strict=True)) | {'value': m.value}
        # The failed ones come last.
        if not line.is_done:
            known = catalogue.TASKS.get(line.task)
            names = known.metrics if known else [line.run.primary_metric or 'result']
            for key in metrics.get(line.group) or [(name, '', True, '') for name in names]:
                yield number | dict(zip(_KEY[2:], key, strict=True))


def _make_columns(counted: pd.DataFrame, cells: pd.DataFrame) -> list[Column]:
    """The columns in their order; brings costs to the unit of theirs, and places the cells."""
    tasks = counted[~counted['is_pretraining']]
    protocols = tasks.groupby('task')['group'].nunique()
    primaries = tasks.groupby('group')['run'].agg(lambda runs: {r.primary_metric for r in runs})
    size, made = pd.Series(1.0, cells.index), {}
    for key, some in cells.groupby(_KEY):
        facts, run = dict(zip(_KEY, key, strict=True)), some['runs'].iloc[0][0]
        if facts['part'] == 'task':
            column = _task_column(facts, some['value'], run, primaries[facts['group']])
        else:
            column, size[some.index] = cost_column(facts, some['value'].max(), run)
        protocol = run.protocol
        qualifier = [protocol.tier] if protocol.tier != 'full' else []
        qualifier += [f'{protocol.name} {protocol.hash}'] if protocols.get(run.task, 1) > 1 else []
        text = ' · '.join(qualifier) if column.part != 'total' else ''
        made[replace(column, qualifier=text)] = some.index
    cells['value'] /= size
    columns = sorted(made, key=_order)
    cells['column'] = 0
    for place, column in enumerate(columns):
        cells.loc[made[column], 'column'] = place
    return columns


def _task_column(
    key: Mapping[str, Any], values: pd.Series, run: RunRecord, primaries: set[str | None]
) -> Column:
    task, metric = run.task, key['metric']
    title, short_title = catalogue.metric_titles(task, metric)
    # Without a primary metric, or a number, nothing says which of them matters.
    matters = metric in primaries or primaries == {None} or not values.count()
    return Column(
        **key,
        group_title=catalogue.task_title(task),
        task=task,
        title=title,
        short_title=short_title,
        decimals=catalogue.decimals_for(key['unit'], values.dropna()),
        protocol=run.protocol,
        is_ranked=not catalogue.is_loss(metric),
        is_headline=matters or catalogue.is_headline(task, metric),
    )


def _order(column: Column) -> tuple:
    """Known tasks come first, full tiers before others; then pre-training, other tasks, costs."""
    parts = {'pretraining': 1, 'total': 3, 'cost': 4}
    part = parts.get(column.part, 0 if column.task in catalogue.TASKS else 2)
    p, metric, costs = column.protocol, column.metric, list(QUANTITIES)
    place = (catalogue.TIER_ORDER.index(p.tier), p.hash) if p else (0, '')
    rank = (costs.index(metric) if metric in costs else len(costs), metric)
    rank = catalogue.metric_rank(column.task, metric) if column.part == 'task' else rank
    last = (metric, column.unit, not column.higher_is_better, column.split)
    return (part, catalogue.task_rank(column.task), *place, column.group, rank, *last)


def _note(cell: Any, column: Column) -> tuple[bool | None, str]:
    """Whether a backbone saw labels of the task, and which, or what of a total is unknown."""
    if cell.state != 'value' or column.part != 'task':
        return False, f'not known of: {", ".join(cell.unknown)}' if cell.unknown else ''
    seen = {run.checkpoint.saw_labels_of(column.task) for run in cell.runs}
    saw_labels = next(answer for answer in (True, None, False) if answer in seen)
    if saw_labels is None:
        return None, "not known whether the backbone saw labels of the task's data set"
    names = {name for run in cell.runs for name in run.checkpoint.labels}
    own = sorted(name for name in names if share_labels(name, data_set_of(column.task)))
    return saw_labels, f'backbone saw labels of {catalogue.data_titles(own)}' if own else ''


def _rank(board: Board) -> Board:
    """Mark the best of every column, and order the rows by their mean rank; baselines last."""
    columns, contests = board.columns, board.contests
    ranked = [place for place, column in enumerate(columns) if column.is_ranked]
    rivals = board.values(ranked)[~board.rows['is_baseline']]
    # The unrounded values; one alone is no ranking.
    is_best = rivals.eq(rivals.max()) & (rivals.count() > 1)
    best = is_best.melt(var_name='column', value_name='is_best', ignore_index=False).reset_index()
    cells = board.cells.merge(best, 'left', ['label', 'column'])
    cells['is_best'] = cells['is_best'].eq(True)
    shared = _shared_columns(rivals, columns, contests)
    held = board.values(contests)
    sorted_by = held.count().idxmax() if contests else None
    rows = board.rows.assign(by=held[sorted_by] if contests else np.nan)
    rows[RANK] = rivals[shared].dropna().rank(ascending=False).mean(axis=1) if shared else np.nan
    # The labels, by which they are sorted so far, settle what numbers leave open.
    rows = rows.iloc[np.lexsort((-rows['by'], rows[RANK], rows['is_baseline']))]
    return replace(
        board, rows=rows.drop(columns='by'), cells=cells, shared=shared, sorted_by=sorted_by
    )


def _shared_columns(
    rivals: pd.DataFrame, columns: Sequence[Column], contests: Sequence[int]
) -> list[int]:
    """The columns over which ranks are averaged, all of one tier and each held by every ranked row.

    Of the columns, from the one that most rows have on, so many are taken that rows times columns
    is largest. A row without one of them gets no mean, since a mean over fewer columns would not
    compare.
    """
    for tier in catalogue.TIER_ORDER:
        held = rivals[[place for place in contests if columns[place].tier == tier]].notna()
        order = held.sum().sort_values(ascending=False, kind='stable').index
        complete = held[order].cummin(axis=1).sum()
        sizes = complete.where(complete > 1, 0) * np.arange(1, len(order) + 1)
        if sizes.any():
            return sorted(order[: sizes.to_numpy().argmax() + 1])
    return []


def _texts(cell: Any, column: Column) -> tuple[str, str, str]:
    """What formats write of a cell: its value or state, its marks, its interval."""
    form = f'{{:,.{column.decimals}f}}'
    text = form.format(cell.value) if cell.state == 'value' else cell.state
    text += f' ± {form.format(cell.sd)}' if pd.notna(cell.sd) else ''
    is_mean = cell.state == 'value' and column.part != 'total' and len(cell.runs) > 1
    text += f' (n={len(cell.runs)})' if is_mean else ''
    marks = filter(None, (TIE_MARK if cell.is_tied else '', LABELS_MARKS[cell.saw_labels]))
    has_interval = pd.notna(cell.low)
    interval = f'[{form.format(cell.low)}, {form.format(cell.high)}]' if has_interval else ''
    return text, ' '.join(marks), interval
