"""Turns records into a leaderboard: rows, columns, what is ranked, how sure it is, the order."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from statistics import fmean

import numpy as np
import pandas as pd

from mim_bench.errors import RecordError
from mim_bench.report import catalogue
from mim_bench.report.board import Cell, Column, ColumnGroup, Leaderboard, Row
from mim_bench.report.costs import add_pretraining, add_task_costs
from mim_bench.report.published import published_section
from mim_bench.results.outcomes_file import read_samples
from mim_bench.results.published import PublishedResult, load_published
from mim_bench.results.record import RunRecord
from mim_bench.results.statistics import (
    LARGEST_DIFFERENCE,
    Measured,
    Sample,
    compare,
    image_interval,
    seed_spread,
)
from mim_bench.results.store import Collection, DamagedFile

# Stands in for the metric of a task of which every run failed before it measured one.
_NO_METRIC = 'result'


def build_leaderboard(
    collection: Collection,
    published: Sequence[PublishedResult] | None = None,
    links: Mapping[str, Mapping[str, str]] | None = None,
) -> Leaderboard:
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
    groups = _make_groups(record for record in collection.records if not record.is_pretraining)
    rows = _make_rows(collection, groups, links or {})
    known = sum(group.task in catalogue.TASKS for group in groups)
    groups[known:known] = add_pretraining(rows)
    columns = [column for group in groups for column in group.columns]
    values = _values(rows, columns)
    rivals = values[[not row.is_baseline for row in rows]]
    _mark_best(rows, rivals)
    unusable = add_spread(rows, groups, collection)
    shared = _shared_columns(rivals, groups)
    ranks = rivals[shared].dropna().rank(ascending=False).mean(axis=1).to_dict() if shared else {}
    rows = [replace(row, rank=ranks.get(place)) for place, row in enumerate(rows)]
    contests = [column for column in columns if column.is_contest]
    sorted_by = max(contests, key=lambda column: values[column].count(), default=None)
    rows = _order(rows, sorted_by)
    published = load_published() if published is None else published
    return Leaderboard(
        rows=rows,
        groups=groups,
        collection=collection,
        damaged=[*collection.damaged, *unusable],
        shared=shared,
        sorted_by=sorted_by,
        published=published_section(rows, groups, published, collection),
        costs=add_task_costs(rows, groups),
    )


def _group_key(record: RunRecord) -> tuple[str, str, str]:
    return (record.task, record.protocol.hash, record.protocol.tier)


def _column_key(record: RunRecord, name: str) -> tuple[str, ...]:
    key = (*_group_key(record), name)
    if metric := record.metrics.get(name):
        key += (metric.unit, 'higher' if metric.higher_is_better else 'lower', metric.split)
    return key


def _make_groups(records: Iterable[RunRecord]) -> list[ColumnGroup]:
    """The column groups of the downstream runs: known tasks first, full tiers before others."""
    split = defaultdict(list)
    for record in records:
        split[_group_key(record)].append(record)
    ordered = sorted(
        split, key=lambda k: (catalogue.task_rank(k[0]), catalogue.TIER_ORDER.index(k[2]), k[1])
    )
    tasks = [task for task, _, _ in ordered]
    return [_make_group(split[key], tasks.count(key[0])) for key in ordered]


def _make_group(records: list[RunRecord], num_protocols: int) -> ColumnGroup:
    """Columns say the tier below full, and the protocol where a task has several."""
    task, protocol = records[0].task, records[0].protocol
    parts = [protocol.tier] if protocol.tier != 'full' else []
    parts += [f'{protocol.name} {protocol.hash}'] if num_protocols > 1 else []
    found = defaultdict(list)
    for record in records:
        for name, metric in record.metrics.items():
            found[_column_key(record, name)].append(metric)
    if not found:  # no run got as far as a number
        known = catalogue.TASKS.get(task)
        names = list(known.metrics) if known else [records[0].primary_metric or _NO_METRIC]
        found = {_column_key(records[0], name): [] for name in names}
    primaries = {record.primary_metric for record in records}
    columns = []
    for key, metrics in found.items():
        name, unit = key[3], metrics[0].unit if metrics else ''
        title, short_title = catalogue.metric_titles(task, name)
        # Without a primary metric nothing says which of them matters.
        matters = catalogue.is_headline(task, name) or name in primaries or primaries == {None}
        columns.append(
            Column(
                key=key,
                title=title,
                short_title=short_title,
                unit=unit,
                higher_is_better=not metrics or metrics[0].higher_is_better,
                decimals=catalogue.decimals_for(unit, [metric.value for metric in metrics]),
                task=task,
                metric=name,
                qualifier=' · '.join(parts),
                is_ranked=not catalogue.is_loss(name),
                is_headline=matters or not metrics,
            )
        )
    columns.sort(key=lambda column: (catalogue.metric_rank(task, column.metric), column.key))
    return ColumnGroup(catalogue.task_title(task), task, columns, protocol)


def _make_rows(
    collection: Collection,
    groups: Sequence[ColumnGroup],
    links: Mapping[str, Mapping[str, str]],
) -> list[Row]:
    """The rows with their cells, labels in alphabetical order."""
    hashes = defaultdict(set)
    for record in collection.records:
        # What pre-training wrote may be converted before it is used, with another hash.
        if record.checkpoint.sha256 is not None and not record.is_pretraining:
            hashes[record.checkpoint.id, collection.group(record)].add(record.checkpoint.sha256)
    split = defaultdict(list)
    for record in collection.records:
        label, group = record.checkpoint.id, collection.group(record)
        if len(hashes[label, group]) > 1:
            if record.is_pretraining:
                continue  # nothing says which of the files came out of this run
            label += f'@{(record.checkpoint.sha256 or "unknown")[:8]}'
        split[label + (f' ({group})' if group else ''), group].append(record)
    return [
        _make_row(label, group, records, groups, links)
        for (label, group), records in sorted(split.items())
    ]


def _make_row(
    label: str,
    folder: str,
    records: list[RunRecord],
    groups: Sequence[ColumnGroup],
    links: Mapping[str, Mapping[str, str]],
) -> Row:
    downstream = sorted((r for r in records if not r.is_pretraining), key=_age)
    # What was stated last about a checkpoint counts.
    checkpoint = (downstream or sorted(records, key=_age))[-1].checkpoint
    found = catalogue.method_links(checkpoint.method)
    for key in (checkpoint.method, checkpoint.sha256, checkpoint.id):
        found |= links.get(key, {})
    runs = defaultdict(list)
    for record in downstream:
        is_done = record.status == 'done'
        keys = [_column_key(record, name) for name in record.metrics] if is_done else []
        for key in keys or [_group_key(record)]:
            runs[key].append(record)
    row = Row(label, checkpoint, records, folder, links=found)
    for group in groups:
        failed = runs.get((group.task, group.protocol.hash, group.protocol.tier), [])
        failed = tuple(run for run in failed if run.status == 'failed')
        for column in group.columns:
            if done := runs.get(column.key):
                row.cells[column.key] = _value_cell(done, column.metric)
            elif failed:
                row.cells[column.key] = Cell('failed', runs=failed)
    return row


def _age(record: RunRecord) -> tuple[str, str]:
    return record.started_at, record.run_id


def _value_cell(records: list[RunRecord], metric: str) -> Cell:
    """The mean over seeds; of several runs with one seed the latest, which comes last, counts."""
    latest = {record.seed: record for record in records}
    runs = tuple(latest[seed] for seed in sorted(latest))
    value = fmean(run.metrics[metric].value for run in runs)
    seen = {run.checkpoint.saw_labels_of(run.task) for run in runs}
    saw_labels = next(answer for answer in (True, None, False) if answer in seen)
    return Cell('value', value, runs, saw_labels=saw_labels)


def _values(rows: Sequence[Row], columns: Sequence[Column]) -> pd.DataFrame:
    """The values of every row and column, as numbers of which more is better; else NaN."""
    values = {column: [row.cell(column).value for row in rows] for column in columns}
    frame = pd.DataFrame(values, index=range(len(rows)), dtype=float)
    return frame * [column.sign for column in columns]


def _mark_best(rows: Sequence[Row], rivals: pd.DataFrame) -> None:
    """Mark the best value of every ranked column, unrounded; one value alone is no ranking."""
    for column in rivals:
        values = rivals[column]
        if column.is_ranked and values.count() > 1:
            for place in values.index[values == values.max()]:
                cells = rows[place].cells
                cells[column.key] = replace(cells[column.key], is_best=True)


def _shared_columns(rivals: pd.DataFrame, groups: Sequence[ColumnGroup]) -> list[Column]:
    """The columns over which ranks are averaged, all of one tier and each held by every ranked row.

    Of the columns, from the one that most rows have on, so many are taken that rows times columns
    is largest. A row without one of them gets no mean, since a mean over fewer columns would not
    compare.
    """
    for tier in catalogue.TIER_ORDER:
        columns = [
            c for group in groups if group.tier == tier for c in group.columns if c.is_contest
        ]
        held = rivals[columns].notna()
        order = held.sum().sort_values(ascending=False, kind='stable').index
        complete = held[order].cummin(axis=1).sum()
        sizes = complete.where(complete > 1, 0) * np.arange(1, len(order) + 1)
        if sizes.any():
            taken = set(order[: sizes.to_numpy().argmax() + 1])
            return [column for column in columns if column in taken]
    return []


def _order(rows: Sequence[Row], sorted_by: Column | None) -> list[Row]:
    """By mean rank, then by the fullest column; baselines come last."""

    def key(row: Row) -> tuple:
        value = row.cell(sorted_by).value if sorted_by is not None else None
        place = (1, 0.0) if value is None else (0, -sorted_by.sign * value)
        return (row.is_baseline, row.rank is None, row.rank or 0.0, *place, row.label)

    return sorted(rows, key=key)


class SampleReader:
    """Reads the outcomes of runs; ``damaged`` are the files that could not be used, by path."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        # A run has several metrics, which are asked for one after another.
        self._read = lru_cache(maxsize=64)(read_samples)
        self.damaged: dict[str, DamagedFile] = {}

    def measured(self, runs: Sequence[RunRecord], metric: str) -> Measured:
        """What tests need of one metric of several seeds."""
        samples = tuple(self.read(run).get(metric) for run in runs)
        return Measured(tuple(run.metrics[metric].value for run in runs), samples)

    def read(self, run: RunRecord) -> dict[str, Sample]:
        """The samples of a run by metric; none if it kept no outcomes, or none of use."""
        relative = run.artifacts.outcomes
        if relative is None:
            return {}
        path = None
        try:
            path = self._collection.artifact_path(run, relative)
            samples = self._read(path)
            for name in filter(samples.__contains__, run.metrics):
                found, stated = samples[name].value, run.metrics[name].value
                if abs(found - stated) > LARGEST_DIFFERENCE:
                    raise RecordError(
                        f'the outcomes give {name} = {found:.3f}, the record {stated:.3f}: they '
                        'are of another run. Run again.'
                    )
        except RecordError as error:
            where = f'{run.run_id}/{relative}'
            self.damaged[where] = DamagedFile(where, str(error).removeprefix(f'{path}: '))
            return {}
        return samples


def add_spread(
    rows: Sequence[Row], groups: Iterable[ColumnGroup], collection: Collection
) -> list[DamagedFile]:
    """Give cells their spread, their interval, and the mark of a tie with the best.

    Args:
        rows: Of the board, with the best of each column marked; their cells are replaced.
        groups: Column groups; those of pre-training have no protocol, and no spread.
        collection: Says where outcomes lie.

    Returns:
        Outcomes that could not be used, in the order of their paths.
    """
    reader = SampleReader(collection)
    for group in groups:
        if group.protocol is not None:
            _spread_group(rows, group.columns, reader)
    return [reader.damaged[path] for path in sorted(reader.damaged)]


def _spread_group(rows: Sequence[Row], columns: Sequence[Column], reader: SampleReader) -> None:
    leaders = {c.key: row for c in columns for row in reversed(rows) if row.cell(c).is_best}
    best = {
        c.key: reader.measured(leaders[c.key].cell(c).runs, c.metric)
        for c in columns
        if c.key in leaders
    }
    for row in rows:
        for column in columns:
            cell, key = row.cell(column), column.key
            if cell.state != 'value':
                continue
            measured = reader.measured(cell.runs, column.metric)
            sd, interval = seed_spread(measured.values)
            sample = measured.samples[0] if sd is None else None
            if sample is not None:
                interval = image_interval(sample)
            is_tied = None
            if key in best and row is not leaders[key]:
                differs = compare(best[key], measured).is_distinguishable()
                is_tied = None if differs is None else not differs
            of = 'images' if sd is None else 'seeds'
            row.cells[key] = replace(
                cell, sd=sd, interval=interval, interval_of=interval and of, is_tied=is_tied
            )
    for key, leader in leaders.items():
        # The best is tied too if anything is tied with it.
        ties = {row.cells[key].is_tied for row in rows if key in row.cells} - {None}
        leader.cells[key] = replace(leader.cells[key], is_tied=any(ties) if ties else None)
