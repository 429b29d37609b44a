"""Turns records into a leaderboard: rows, columns, what is ranked, the order."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from math import fsum, nan
from typing import Any

import numpy as np
import pandas as pd

from mim_bench.published.numbers import PublishedResult, load_published
from mim_bench.report import catalogue
from mim_bench.report.board import NUMBERS, RANK, Board, Cell, Column
from mim_bench.report.numbers import (
    QUANTITIES,
    Number,
    Place,
    cost_column,
    cost_numbers,
    counted_runs,
    place_runs,
    result_numbers,
    total_numbers,
)
from mim_bench.report.published import match, sort_published
from mim_bench.results.collection import Collection, SampleReader
from mim_bench.results.record import RANDOM_METHOD, RunRecord, data_set_of, share_labels
from mim_bench.results.statistics import compare, image_interval, seed_spread

# Behind a value that tests cannot tell from the best of its column.
TIE_MARK = '\N{ALMOST EQUAL TO}'
# Behind a value whose backbone saw labels of the task's data set, did not, or may have.
LABELS_MARKS = {True: '\N{DOUBLE DAGGER}', False: '', None: '?'}


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
    places = list(place_runs(collection))
    rows = _make_rows(places, links or {})
    random = set(rows.index[rows['is_random']])
    counted = counted_runs(places, random)
    numbers = [
        *result_numbers(counted), *cost_numbers(counted), *total_numbers(counted, random),
    ]  # fmt: skip
    columns, reader = _make_columns(numbers, counted), SampleReader(collection)
    baselines = set(rows.index[rows['is_baseline']])
    for place, (column, own) in enumerate(columns.items()):
        _mark_best(column, [cell for cell in own if cell.label not in baselines])
        for cell in own:
            cell.column = place
    cells = sorted(
        (cell for own in columns.values() for cell in own), key=lambda c: (c.label, c.column)
    )
    _add_spread(cells, list(columns), reader)
    for column, own in columns.items():
        for cell in own:
            _write_texts(cell, column)
    frame = pd.DataFrame(map(vars, cells), columns=[field.name for field in fields(Cell)])
    board = Board(rows, list(columns), frame, collection)
    board.published = sort_published(load_published() if published is None else published)
    board.damaged = [*collection.damaged, *map(reader.damaged.get, sorted(reader.damaged))]
    _order_rows(board)
    board.pairs = match(board)
    return board


def _make_rows(places: Sequence[Place], links: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """The rows by label; what was stated last about a checkpoint counts, by a task if any."""
    by_label = defaultdict(list)
    for place in places:
        by_label[place.label].append(place)
    lines = []
    for label, some in sorted(by_label.items()):
        latest = ([place for place in some if not place.run.is_pretraining] or some)[-1]
        runs = sorted((place.run for place in some), key=lambda run: run.run_id)
        lines.append(_row(label, latest, links) | {'runs': runs})
    return pd.DataFrame(lines, index=sorted(by_label)).astype(
        {name: float for name in NUMBERS if name != RANK}
    )


def _row(label: str, latest: Place, links: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
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
        'Checkpoint': label,
        'Params (M)': checkpoint.params and checkpoint.params / 1e6,
        **(dict.fromkeys(facts) if is_random else facts),
        'checkpoint': checkpoint,
        'name': latest.name,
        'folder': latest.folder,
        'links': found,
        'is_random': is_random,
        'is_baseline': is_random or checkpoint.method.startswith(catalogue.SUPERVISED),
    }


def _make_columns(numbers: Sequence[Number], counted: Sequence[Place]) -> dict[Column, list[Cell]]:
    """The columns in their order, each with its cells by label; costs in the unit of theirs."""
    found = defaultdict(lambda: defaultdict(list))
    for number in numbers:
        found[number[:6]][number.label].append(number)
    groups, primaries = defaultdict(set), defaultdict(set)
    for place in counted:
        if not place.run.is_pretraining:
            groups[place.run.task].add(place.group)
            primaries[place.group].add(place.run.primary_metric)
    columns = {}
    for own in found.values():
        cells = [_cell(own[label]) for label in sorted(own)]
        first = own[cells[0].label][0]
        run = next(number.run for some in own.values() for number in some if number.run)
        values = [cell.value for cell in cells if cell.state == 'value']
        if first.part == 'task':
            column = _task_column(first, values, primaries[first.group])
        else:
            column, size = cost_column(first, max(values, default=nan), run)
            for cell in cells:
                cell.value /= size
        p = run.protocol
        names = [p.tier] if p.tier != 'full' else []
        names += [f'{p.name} {p.hash}'] if len(groups[run.task]) > 1 else []
        qualifier = '' if first.part == 'total' else ' · '.join(names)
        columns[replace(column, qualifier=qualifier)] = cells
    return {column: columns[column] for column in sorted(columns, key=_order)}


def _cell(numbers: Sequence[Number]) -> Cell:
    """What a row has in a column, of the numbers of its runs or the parts of its total."""
    runs, values = [n.run for n in numbers if n.run], [n.value for n in numbers]
    if None in values:
        unknown = ', '.join(dict.fromkeys(n.unknown for n in numbers if n.unknown))
        note = f'not known of: {unknown}' if unknown else ''
        state = 'unknown' if numbers[0].part == 'total' else 'failed'
        return Cell(numbers[0].label, state, nan, tuple(runs), note=note)
    # Equal means may differ in their last digit, which must not decide about a rank.
    value = values[0] if len(values) == 1 else round(fsum(values) / len(values), 9)
    value = fsum(values) if numbers[0].part == 'total' else value
    value = max(values) if numbers[0].metric == 'peak_mem_bytes' else value
    return Cell(numbers[0].label, 'value', value, tuple(runs))


def _task_column(first: Number, values: Sequence[float], primaries: set[str | None]) -> Column:
    run, metric = first.run, first.metric
    title, short_title = catalogue.metric_titles(run.task, metric)
    # Without a primary metric, or a number, nothing says which of them matters.
    matters = metric in primaries or primaries == {None} or not values
    return Column(
        *first[:6],
        catalogue.task_title(run.task),
        run.task,
        title,
        short_title,
        catalogue.decimals_for(first.unit, values),
        run.protocol,
        # Of the split of training are losses, and what a probe chose.
        is_ranked=first.split != 'train' and not catalogue.is_loss(metric),
        is_headline=matters or catalogue.is_headline(run.task, metric),
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


def _mark_best(column: Column, rivals: Sequence[Cell]) -> None:
    """Mark the best of a column by unrounded values; one alone is no ranking."""
    held = [column.sign * cell.value for cell in rivals if cell.state == 'value']
    if column.is_ranked and len(held) > 1:
        best = max(held)
        for cell in rivals:
            cell.is_best = column.sign * cell.value == best


def _add_spread(cells: Sequence[Cell], columns: Sequence[Column], reader: SampleReader) -> None:
    """Add spread, interval and the mark of a tie with the best to the results of tasks."""
    results = [c for c in cells if c.state == 'value' and columns[c.column].part == 'task']
    leaders = {cell.column: cell for cell in reversed(results) if cell.is_best}
    best = {place: reader.measured(c.runs, columns[place].metric) for place, c in leaders.items()}
    ties = defaultdict(set)
    for cell in results:
        measured = reader.measured(cell.runs, columns[cell.column].metric)
        cell.sd, interval = seed_spread(measured.values)
        interval_of = 'seeds'
        if interval is None and measured.samples[0] is not None:
            interval, interval_of = image_interval(measured.samples[0]), 'images'
        if interval is not None:
            (cell.low, cell.high), cell.interval_of = interval, interval_of
            if columns[cell.column].unit == '%':
                cell.low = max(cell.low, 0.0)
                if columns[cell.column].higher_is_better:  # ImageNet-C's error may be above 100
                    cell.high = min(cell.high, 100.0)
        if cell.column in best and cell is not leaders[cell.column]:
            differs = compare(best[cell.column], measured).is_distinguishable
            cell.is_tied = None if differs is None else not differs
            ties[cell.column].add(cell.is_tied)
    # The best is tied too if anything is tied with it, and alone only if all others were tested.
    for place, leader in leaders.items():
        leader.is_tied = next((answer for answer in (True, None) if answer in ties[place]), False)


def _labels_seen(runs: Sequence[RunRecord], task: str) -> tuple[bool | None, str]:
    """Whether a backbone saw labels of the task's data set, and which."""
    seen = {run.checkpoint.saw_labels_of(task) for run in runs}
    saw_labels = next(answer for answer in (True, None, False) if answer in seen)
    if saw_labels is None:
        return None, "not known whether the backbone saw labels of the task's data set"
    names = {name for run in runs for name in run.checkpoint.labels or ()}
    own = sorted(name for name in names if share_labels(name, data_set_of(task)))
    return saw_labels, f'backbone saw labels of {catalogue.data_titles(own)}' if own else ''


def _write_texts(cell: Cell, column: Column) -> None:
    """What formats write of a cell: its value or state, its marks, its interval."""
    if cell.state == 'value' and column.is_ranked:
        cell.saw_labels, cell.note = _labels_seen(cell.runs, column.task)
    form = f'{{:,.{column.decimals}f}}'
    cell.text = form.format(cell.value) if cell.state == 'value' else cell.state
    cell.text += f' ± {form.format(cell.sd)}' if cell.sd is not None else ''
    is_mean = cell.state == 'value' and column.part != 'total' and len(cell.runs) > 1
    cell.text += f' (n={len(cell.runs)})' if is_mean else ''
    marks = (TIE_MARK if cell.is_tied else '', LABELS_MARKS[cell.saw_labels])
    cell.marks = ' '.join(filter(None, marks))
    if cell.low is not None:
        cell.interval = f'[{form.format(cell.low)}, {form.format(cell.high)}]'


def _order_rows(board: Board) -> None:
    """Order the rows by their mean rank; baselines come last and have none."""
    contests = board.contests
    held = board.values(contests)
    rivals = held[~board.rows['is_baseline']]
    board.shared = shared = _shared_columns(rivals, board.columns)
    board.sorted_by = held.count().idxmax() if contests else None
    ranks = rivals[shared].dropna().rank(ascending=False).mean(axis=1) if shared else nan
    rows = board.rows.assign(**{RANK: ranks})
    by = -held[board.sorted_by] if contests else rows[RANK]
    # The labels, by which they are sorted so far, settle what numbers leave open.
    board.rows = rows.iloc[np.lexsort((by, rows[RANK], rows['is_baseline']))]


def _shared_columns(rivals: pd.DataFrame, columns: Sequence[Column]) -> list[int]:
    """The columns over which ranks are averaged, all of one tier and each held by every ranked row.

    They are the largest table without a gap, by rows times columns, among the rows that have one
    column, or two. A row without one of its columns gets no mean, since a mean over fewer columns
    would not compare.
    """
    for tier in catalogue.TIER_ORDER:
        places = [place for place in rivals if columns[place].tier == tier]
        held = rivals[places].notna().to_numpy(np.float32)
        if not held.size:
            continue
        sets = np.unique(held.T, axis=0)  # of rows that have a column
        sets = np.unique((sets[:, None] * sets).reshape(-1, len(held)), axis=0)
        is_shared, counts = sets @ (1 - held) == 0, sets.sum(axis=1)
        sizes = np.where(counts > 1, counts * is_shared.sum(axis=1), 0)
        if sizes.any():
            best = is_shared[np.lexsort((counts, sizes))[-1]]
            return [place for place, is_one in zip(places, best, strict=True) if is_one]
    return []
