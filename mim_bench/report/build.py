"""Turns records into a leaderboard: its rows, its columns, what is ranked, and the order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
import pandas as pd

from mim_bench.report import catalogue
from mim_bench.report.board import SEPARATOR, Cell, Column, ColumnGroup, Leaderboard, Row
from mim_bench.report.costs import add_task_costs, cost_cells, cost_group
from mim_bench.report.published import published_section
from mim_bench.report.spread import add_spread
from mim_bench.results.published import PublishedResult
from mim_bench.results.record import RunRecord
from mim_bench.results.store import Collection

# Stands in for the metric of a task of which every run failed before it measured one.
NO_METRIC = 'result'


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
        collection: The records; of :func:`~mim_bench.report.merge.merge_folders` for several
            folders.
        published: Numbers of others to show beside them; those of the package if None.
        links: Addresses (``paper``, ``code``, ``weights``) by checkpoint id, SHA-256 or method.
    """
    downstream = [record for record in collection.records if not record.is_pretraining]
    pretraining = [record for record in collection.records if record.is_pretraining]
    groups = metric_groups(downstream)
    cost = cost_group(pretraining)
    if cost is not None:
        known = sum(group.task in catalogue.TASKS for group in groups)
        groups.insert(known, cost)
    rows = []
    for (label, folder), records in _split_into_rows(collection).items():
        row = _make_row(label, folder, records, groups, links or {})
        if cost is not None and not row.is_random:
            row.cells.update(cost_cells(cost, [r for r in records if r.is_pretraining]))
        rows.append(row)
    columns = [column for group in groups for column in group.columns]
    _mark_best(rows, columns)
    unusable = add_spread(rows, groups, collection)
    shared, sorted_by = _shared_columns(rows, groups), _fullest_column(rows, columns)
    rows = _order(rows, shared, sorted_by)
    return Leaderboard(
        rows=rows,
        groups=groups,
        records=collection.records,
        damaged=[*collection.damaged, *unusable],
        shared=shared,
        sorted_by=sorted_by,
        published=published_section(rows, groups, published, collection),
        costs=add_task_costs(rows, groups),
        notes=list(getattr(collection, 'notes', ())),
    )


def folder_of(collection: Collection, record: RunRecord) -> str:
    """Name of the merged folder that a record came from; empty if nothing was merged."""
    name = getattr(collection, 'folder_name', None)
    return name(record) if name is not None else ''


def _split_into_rows(collection: Collection) -> dict[tuple[str, str], list[RunRecord]]:
    """Records by the label of their row and their folder, labels in alphabetical order."""
    hashes: dict[tuple[str, str], set[str]] = {}
    for record in collection.records:
        known = hashes.setdefault((record.checkpoint.id, folder_of(collection, record)), set())
        # What pre-training wrote may be converted before it is used, with another hash.
        if record.checkpoint.sha256 is not None and not record.is_pretraining:
            known.add(record.checkpoint.sha256)
    rows: dict[tuple[str, str], list[RunRecord]] = {}
    for record in collection.records:
        label, folder = record.checkpoint.id, folder_of(collection, record)
        if len(hashes[label, folder]) > 1:
            if record.is_pretraining:
                # Nothing says which of the files came out of this run.
                continue
            label += f'@{(record.checkpoint.sha256 or "unknown")[:8]}'
        label += f' ({folder})' if folder else ''
        rows.setdefault((label, folder), []).append(record)
    return dict(sorted(rows.items()))


def _make_row(
    label: str,
    folder: str,
    records: list[RunRecord],
    groups: list[ColumnGroup],
    links: Mapping[str, Mapping[str, str]],
) -> Row:
    downstream = [record for record in records if not record.is_pretraining]
    # What was stated last about a checkpoint counts.
    checkpoint = max(downstream or records, key=lambda r: (r.started_at, r.run_id)).checkpoint
    found = catalogue.method_links(checkpoint.method)
    for key in (checkpoint.method, checkpoint.sha256, checkpoint.id):
        found |= links.get(key, {})
    return Row(label, checkpoint, _metric_cells(downstream, groups), records, folder, links=found)


def _metric_cells(records: list[RunRecord], groups: list[ColumnGroup]) -> dict[str, Cell]:
    runs: dict[str, list[RunRecord]] = {}
    failed: dict[tuple[str, str, str], list[RunRecord]] = {}
    for record in records:
        if record.status == 'failed':
            failed.setdefault(_group_key(record), []).append(record)
            continue
        for name in record.metrics:
            runs.setdefault(column_key(record, name), []).append(record)
    cells = {}
    for group in groups:
        protocol = group.protocol
        failures = failed.get((group.task, protocol.hash, protocol.tier)) if protocol else None
        for column in group.columns:
            if column.key in runs:
                cells[column.key] = _value_cell(runs[column.key], column.metric)
            elif failures:
                cells[column.key] = Cell('failed', runs=failures)
    return cells


def _value_cell(records: list[RunRecord], metric: str) -> Cell:
    """The mean over seeds; of several runs with one seed the latest counts."""
    latest: dict[int, RunRecord] = {}
    for record in sorted(records, key=lambda r: (r.started_at, r.run_id)):
        latest[record.seed] = record
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
        cells = [row.cell(column) for row in rows if not row.is_baseline]
        values = [cell.value for cell in cells if cell.state == 'value']
        if not column.is_ranked or len(values) < 2:
            continue
        best = (max if column.higher_is_better else min)(values)
        for row in rows:
            cell = row.cell(column)
            if cell.state == 'value' and cell.value == best and not row.is_baseline:
                row.cells[column.key] = replace(cell, is_best=True)


def _shared_columns(rows: list[Row], groups: list[ColumnGroup]) -> list[Column]:
    """The columns over which ranks are averaged, all of one tier and each held by every ranked row.

    Of the columns, from the one that most rows have on, so many are taken that rows times columns
    is largest. A row without one of them gets no mean, since a mean over fewer columns would not
    compare.
    """
    contenders = [row for row in rows if not row.is_baseline]
    for tier in catalogue.TIER_ORDER:
        columns = [
            column
            for group in groups
            for column in group.columns
            if group.tier == tier and column.is_ranked and column.is_headline
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
    ranked = [column for column in columns if column.is_ranked and column.is_headline]
    counts = [sum(row.cell(column).state == 'value' for row in rows) for column in ranked]
    return ranked[int(np.argmax(counts))] if ranked else None


def _order(rows: list[Row], shared: list[Column], sorted_by: Column | None) -> list[Row]:
    """Give rows their mean rank and their order."""
    whole = [
        r for r in rows if not r.is_baseline and all(r.cell(c).value is not None for c in shared)
    ]
    means = {}
    if shared:
        values = pd.DataFrame(
            {
                c.key: [r.cell(c).value * (-1 if c.higher_is_better else 1) for r in whole]
                for c in shared
            }
        )
        means = {r.label: float(m) for r, m in zip(whole, values.rank().mean(axis=1), strict=True)}
    rows = [replace(row, rank=means.get(row.label)) for row in rows]

    def key(row: Row) -> tuple:
        value = row.cell(sorted_by).value if sorted_by is not None else None
        if value is not None and sorted_by.higher_is_better:
            value = -value
        rank = (row.rank is None, row.rank or 0.0)
        return (row.is_baseline, *rank, value is None, value or 0.0, row.label)

    return sorted(rows, key=key)


def _group_key(record: RunRecord) -> tuple[str, str, str]:
    return (record.task, record.protocol.hash, record.protocol.tier)


def column_key(record: RunRecord, metric: str) -> str:
    """All that must agree before two numbers stand in one column, as one text."""
    parts = [*_group_key(record), metric]
    if metric in record.metrics:
        found = record.metrics[metric]
        parts += [found.unit, 'higher' if found.higher_is_better else 'lower', found.split]
    return SEPARATOR.join(parts)


def metric_groups(records: list[RunRecord]) -> list[ColumnGroup]:
    """The column groups of the downstream runs: known tasks first, full tiers before others."""
    split: dict[tuple[str, str, str], list[RunRecord]] = {}
    for record in records:
        split.setdefault(_group_key(record), []).append(record)
    ordered = sorted(
        split, key=lambda k: (catalogue.task_rank(k[0]), catalogue.TIER_ORDER.index(k[2]), k[1])
    )
    counts = {task: sum(key[0] == task for key in ordered) for task, _, _ in ordered}
    return [_make_group(split[key], counts[key[0]]) for key in ordered]


def _make_group(records: list[RunRecord], num_protocols: int) -> ColumnGroup:
    """Columns say the tier below full, and the protocol where a task has several."""
    task, protocol = records[0].task, records[0].protocol
    parts = [protocol.tier] if protocol.tier != 'full' else []
    parts += [f'{protocol.name} {protocol.hash}'] if num_protocols > 1 else []
    primaries = {record.primary_metric for record in records}
    found: dict[str, list[tuple[str, RunRecord]]] = {}
    for record in records:
        for name in record.metrics:
            found.setdefault(column_key(record, name), []).append((name, record))
    if not found:  # no run got as far as a number
        known = catalogue.TASKS.get(task)
        names = list(known.metrics) if known else [records[0].primary_metric or NO_METRIC]
        found = {column_key(records[0], name): [(name, records[0])] for name in names}
    columns = []
    for key, entries in found.items():
        name, first = entries[0]
        metric = first.metrics.get(name)
        values = [run.metrics[name].value for _, run in entries] if metric else []
        unit = metric.unit if metric else ''
        title, short_title = catalogue.metric_titles(task, name)
        # Without a primary metric nothing says which of them matters.
        matters = catalogue.is_headline(task, name) or name in primaries or primaries == {None}
        columns.append(
            Column(
                key=key,
                title=title,
                short_title=short_title,
                unit=unit,
                higher_is_better=metric.higher_is_better if metric else True,
                decimals=catalogue.decimals_for(unit, values),
                task=task,
                metric=name,
                qualifier=' · '.join(parts),
                is_ranked=not catalogue.is_loss(name),
                is_headline=matters or metric is None,
            )
        )
    columns.sort(key=lambda column: (catalogue.metric_rank(task, column.metric), column.key))
    return ColumnGroup(catalogue.task_title(task), task, columns, protocol)
