"""Turns records into a leaderboard: what is a row, what is a column, what may be ranked."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from mim_bench.report import catalogue
from mim_bench.report.columns import column_key, metric_groups
from mim_bench.report.cost import cost_cells, cost_group
from mim_bench.report.leaderboard import Cell, Column, ColumnGroup, Leaderboard, Row
from mim_bench.report.published import published_section
from mim_bench.report.spread import add_spread
from mim_bench.report.task_cost import add_task_costs
from mim_bench.results.published import PublishedResult, load_published
from mim_bench.results.record import RunRecord
from mim_bench.results.store import Collection


def build_leaderboard(
    collection: Collection, published: Sequence[PublishedResult] | None = None
) -> Leaderboard:
    """Arrange the records of a collection as rows and columns.

    A row is a checkpoint id; an id that stands for files with different hashes gives one
    row a file. A column is one metric of one task under one protocol hash and tier, so
    numbers that were not measured alike are never compared.

    Args:
        collection: The records.
        published: Numbers of others to stand beside them; those of the package if None.
    """
    by_row = _split_into_rows(collection.records)
    downstream = [record for record in collection.records if not record.is_pretraining]
    pretraining = [record for record in collection.records if record.is_pretraining]
    groups = metric_groups(downstream)
    cost = cost_group(pretraining)
    if cost is not None:
        known = sum(group.task in catalogue.TASKS for group in groups)
        groups.insert(known, cost)
    rows = [_make_row(label, records, groups, cost) for label, records in by_row.items()]
    columns = [column for group in groups for column in group.columns]
    rows = _mark_best(rows, columns)
    unusable = add_spread(rows, groups, collection)
    sorted_by = _fullest_column(rows, columns)
    rows = _sort_rows(rows, sorted_by)
    published = load_published() if published is None else published
    return Leaderboard(
        rows=rows,
        groups=groups,
        records=collection.records,
        damaged=[*collection.damaged, *unusable],
        sorted_by=sorted_by,
        published=published_section(rows, groups, published, collection),
        costs=add_task_costs(rows, groups),
    )


def _split_into_rows(records: list[RunRecord]) -> dict[str, list[RunRecord]]:
    """Records by the label of their row, labels in alphabetical order."""
    hashes: dict[str, set[str]] = {}
    for record in records:
        known = hashes.setdefault(record.checkpoint.id, set())
        # What pre-training wrote may be converted before it is used, with another hash.
        if record.checkpoint.sha256 is not None and not record.is_pretraining:
            known.add(record.checkpoint.sha256)
    rows: dict[str, list[RunRecord]] = {}
    for record in records:
        label = record.checkpoint.id
        if len(hashes[label]) > 1:
            if record.is_pretraining:
                # Nothing says which of the files came out of this run.
                continue
            label += f'@{(record.checkpoint.sha256 or "unknown")[:8]}'
        rows.setdefault(label, []).append(record)
    return dict(sorted(rows.items()))


def _make_row(
    label: str, records: list[RunRecord], groups: list[ColumnGroup], cost: ColumnGroup | None
) -> Row:
    downstream = [record for record in records if not record.is_pretraining]
    # What was stated last about a checkpoint counts.
    checkpoint = max(downstream or records, key=lambda r: (r.started_at, r.run_id)).checkpoint
    row = Row(label, checkpoint, _metric_cells(downstream, groups), records)
    if cost is not None and not row.is_random:
        row.cells.update(cost_cells(cost, [r for r in records if r.is_pretraining]))
    return row


def _metric_cells(records: list[RunRecord], groups: list[ColumnGroup]) -> dict[str, Cell]:
    runs: dict[str, list[RunRecord]] = {}
    failed: dict[tuple[str, str, str], list[RunRecord]] = {}
    for record in records:
        if record.status == 'failed':
            key = (record.task, record.protocol.hash, record.protocol.tier)
            failed.setdefault(key, []).append(record)
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


def _mark_best(rows: list[Row], columns: list[Column]) -> list[Row]:
    """Mark the best value of every ranked column, unrounded; one value alone is no ranking."""
    for column in columns:
        holders = [row for row in rows if row.cell(column).state == 'value']
        if not column.is_ranked or len(holders) < 2:
            continue
        pick = max if column.higher_is_better else min
        best = pick(row.cell(column).value for row in holders)
        for row in holders:
            if row.cell(column).value == best:
                row.cells[column.key] = replace(row.cell(column), is_best=True)
    return rows


def _fullest_column(rows: list[Row], columns: list[Column]) -> Column | None:
    """The first headline column that has a value for the most rows."""
    ranked = [column for column in columns if column.is_ranked and column.is_headline]

    def num_values(column: Column) -> int:
        return sum(row.cell(column).state == 'value' for row in rows)

    return max(ranked, key=num_values, default=None)


def _sort_rows(rows: list[Row], column: Column | None) -> list[Row]:
    """Best first by one column; rows without a value there come last, by label."""

    def key(row: Row) -> tuple[bool, float, str]:
        value = row.cell(column).value if column is not None else None
        if value is None:
            return (True, 0.0, row.label)
        return (False, -value if column.higher_is_better else value, row.label)

    return sorted(rows, key=key)
