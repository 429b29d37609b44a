"""Turns records into a leaderboard: its rows, its columns, what is ranked, and the order."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
from scipy import stats

from mim_bench.report import catalogue
from mim_bench.report.board import Cell, Column, ColumnGroup, Leaderboard, Row
from mim_bench.report.costs import add_pretraining_costs, add_task_costs
from mim_bench.report.published import published_section
from mim_bench.report.spread import add_spread
from mim_bench.results.published import PublishedResult, load_published
from mim_bench.results.record import RunRecord
from mim_bench.results.store import Collection

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
    groups = _metric_groups([r for r in collection.records if not r.is_pretraining])
    rows = [
        _make_row(label, group, records, groups, links or {})
        for (label, group), records in _split_into_rows(collection).items()
    ]
    pretraining = add_pretraining_costs(rows, [r for r in collection.records if r.is_pretraining])
    if pretraining is not None:
        known = sum(group.task in catalogue.TASKS for group in groups)
        groups.insert(known, pretraining)
    columns = [column for group in groups for column in group.columns]
    _mark_best(rows, columns)
    unusable = add_spread(rows, groups, collection)
    shared, sorted_by = _shared_columns(rows, groups), _fullest_column(rows, columns)
    rows = _order(rows, shared, sorted_by)
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


def _metric_groups(records: list[RunRecord]) -> list[ColumnGroup]:
    """The column groups of the downstream runs: known tasks first, full tiers before others."""
    split = defaultdict(list)
    for record in records:
        split[_group_key(record)].append(record)
    ordered = sorted(
        split, key=lambda k: (catalogue.task_rank(k[0]), catalogue.TIER_ORDER.index(k[2]), k[1])
    )
    tasks = [task for task, _, _ in ordered]
    return [_make_group(split[key], tasks.count(key[0])) for key in ordered]


def _group_key(record: RunRecord) -> tuple[str, str, str]:
    return (record.task, record.protocol.hash, record.protocol.tier)


def _column_key(record: RunRecord, name: str) -> tuple[str, ...]:
    key = (*_group_key(record), name)
    if metric := record.metrics.get(name):
        key += (metric.unit, 'higher' if metric.higher_is_better else 'lower', metric.split)
    return key


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


def _split_into_rows(collection: Collection) -> dict[tuple[str, str], list[RunRecord]]:
    """Records by the label of their row and their folder, labels in alphabetical order."""
    hashes = defaultdict(set)
    for record in collection.records:
        # What pre-training wrote may be converted before it is used, with another hash.
        if record.checkpoint.sha256 is not None and not record.is_pretraining:
            hashes[record.checkpoint.id, collection.group(record)].add(record.checkpoint.sha256)
    rows = defaultdict(list)
    for record in collection.records:
        label, group = record.checkpoint.id, collection.group(record)
        if len(hashes[label, group]) > 1:
            if record.is_pretraining:
                # Nothing says which of the files came out of this run.
                continue
            label += f'@{(record.checkpoint.sha256 or "unknown")[:8]}'
        label += f' ({group})' if group else ''
        rows[label, group].append(record)
    return dict(sorted(rows.items()))


def _make_row(
    label: str,
    group: str,
    records: list[RunRecord],
    groups: list[ColumnGroup],
    links: Mapping[str, Mapping[str, str]],
) -> Row:
    downstream = [record for record in records if not record.is_pretraining]
    # What was stated last about a checkpoint counts.
    checkpoint = max(downstream or records, key=_age).checkpoint
    found = catalogue.method_links(checkpoint.method)
    for key in (checkpoint.method, checkpoint.sha256, checkpoint.id):
        found |= links.get(key, {})
    row = Row(label, checkpoint, records, group, links=found)
    for columns in groups:
        protocol = columns.protocol
        runs = [
            r for r in downstream if _group_key(r) == (columns.task, protocol.hash, protocol.tier)
        ]
        failed = [run for run in runs if run.status == 'failed']
        for column in columns.columns:
            done = [
                run for run in runs
                if run.status == 'done' and _column_key(run, column.metric) == column.key
            ]  # fmt: skip
            if done:
                row.cells[column.key] = _value_cell(done, column.metric)
            elif failed:
                row.cells[column.key] = Cell('failed', runs=failed)
    return row


def _age(record: RunRecord) -> tuple[str, str]:
    return record.started_at, record.run_id


def _value_cell(records: list[RunRecord], metric: str) -> Cell:
    """The mean over seeds; of several runs with one seed the latest counts."""
    latest = {record.seed: record for record in sorted(records, key=_age)}
    runs = [latest[seed] for seed in sorted(latest)]
    value = fmean(run.metrics[metric].value for run in runs)
    seen = {run.checkpoint.saw_labels_of(run.task) for run in runs}
    saw_labels = next(answer for answer in (True, None, False) if answer in seen)
    return Cell('value', value, runs=runs, saw_labels=saw_labels)


def _mark_best(rows: list[Row], columns: list[Column]) -> None:
    """Mark the best value of every ranked column, unrounded; one value alone is no ranking.

    Baselines are what the others are held against, so they are never the best.
    """
    for column in columns:
        cells = [r.cells for r in rows if r.cell(column).state == 'value' and not r.is_baseline]
        if column.is_ranked and len(cells) > 1:
            best = max(column.sign * some[column.key].value for some in cells)
            for some in cells:
                cell = some[column.key]
                some[column.key] = replace(cell, is_best=column.sign * cell.value == best)


def _shared_columns(rows: list[Row], groups: list[ColumnGroup]) -> list[Column]:
    """The columns over which ranks are averaged, all of one tier and each held by every ranked row.

    Of the columns, from the one that most rows have on, so many are taken that rows times columns
    is largest. A row without one of them gets no mean, since a mean over fewer columns would not
    compare.
    """
    contenders = [row for row in rows if not row.is_baseline]
    for tier in catalogue.TIER_ORDER:
        columns = [
            c for group in groups if group.tier == tier for c in group.columns if c.is_contest
        ]
        held = np.array([[r.cell(c).state == 'value' for c in columns] for r in contenders])
        if not held.size or held.sum(axis=0).max() < 2:
            continue
        order = np.argsort(-held.sum(axis=0), kind='stable')
        complete = np.logical_and.accumulate(held[:, order], axis=1).sum(axis=0)
        sizes = np.where(complete >= 2, complete * np.arange(1, len(order) + 1), 0)
        return [columns[place] for place in sorted(order[: sizes.argmax() + 1])]
    return []


def _fullest_column(rows: list[Row], columns: list[Column]) -> Column | None:
    """The first headline column that has a value for the most rows."""
    counts = {
        column.key: sum(row.cell(column).state == 'value' for row in rows) for column in columns
    }
    ranked = [column for column in columns if column.is_contest]
    return max(ranked, key=lambda column: counts[column.key], default=None)


def _order(rows: list[Row], shared: list[Column], sorted_by: Column | None) -> list[Row]:
    """Give rows their mean rank and their order."""
    means = {}
    if shared:
        whole = [
            r
            for r in rows
            if not r.is_baseline and all(r.cell(c).value is not None for c in shared)
        ]
        values = [[-c.sign * row.cell(c).value for c in shared] for row in whole]
        ranks = stats.rankdata(values, axis=0).mean(axis=1)
        means = {row.label: float(rank) for row, rank in zip(whole, ranks, strict=True)}
    rows = [replace(row, rank=means.get(row.label)) for row in rows]

    def key(row: Row) -> tuple:
        value = row.cell(sorted_by).value if sorted_by is not None else None
        place = (1, 0.0) if value is None else (0, -sorted_by.sign * value)
        return (row.is_baseline, row.rank is None, row.rank or 0.0, *place, row.label)

    return sorted(rows, key=key)
