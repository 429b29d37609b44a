"""The metric columns: one a task, protocol hash, tier, metric, unit, direction and split."""

from dataclasses import replace

from mim_bench.report import catalogue
from mim_bench.report.leaderboard import Column, ColumnGroup
from mim_bench.results.record import RunRecord

# Stands in for the metric of a task of which every run failed before it measured one.
NO_METRIC = 'result'


def column_key(record: RunRecord, metric: str) -> str:
    """All that must agree before two numbers stand in one column, as one text."""
    parts = [record.task, record.protocol.hash, record.protocol.tier, metric]
    if metric in record.metrics:
        found = record.metrics[metric]
        parts += [found.unit, 'higher' if found.higher_is_better else 'lower', found.split]
    return '\x1f'.join(parts)


def metric_groups(records: list[RunRecord]) -> list[ColumnGroup]:
    """The column groups of the downstream runs: known tasks first, full tiers before others."""
    split: dict[tuple[str, str, str], list[RunRecord]] = {}
    for record in records:
        key = (record.task, record.protocol.hash, record.protocol.tier)
        split.setdefault(key, []).append(record)
    ordered = sorted(split, key=_group_rank)
    groups = [_make_group(split[key]) for key in ordered]
    num_protocols = {task: sum(key[0] == task for key in ordered) for task, _, _ in ordered}
    return [_qualify(group, num_protocols[group.task]) for group in groups]


def _group_rank(key: tuple[str, str, str]) -> tuple:
    task, protocol_hash, tier = key
    return (catalogue.task_rank(task), catalogue.TIER_ORDER.index(tier), protocol_hash)


def _make_group(records: list[RunRecord]) -> ColumnGroup:
    task = records[0].task
    values: dict[str, list[float]] = {}
    columns: dict[str, Column] = {}
    primaries = {record.primary_metric for record in records}
    for record in records:
        for name, metric in record.metrics.items():
            key = column_key(record, name)
            values.setdefault(key, []).append(metric.value)
            columns[key] = Column(
                key=key,
                title=catalogue.metric_titles(task, name)[0],
                short_title=catalogue.metric_titles(task, name)[1],
                unit=metric.unit,
                higher_is_better=metric.higher_is_better,
                decimals=0,
                task=task,
                metric=name,
                # Without a primary metric nothing says which of them matters.
                is_headline=catalogue.is_headline(task, name)
                or name in primaries
                or primaries == {None},
            )
    made = [
        replace(column, decimals=catalogue.decimals_for(column.unit, values[key]))
        for key, column in columns.items()
    ]
    made.sort(key=lambda column: (catalogue.metric_rank(task, column.metric), column.key))
    return ColumnGroup(
        catalogue.task_title(task), task, made or _failed_columns(records), records[0].protocol
    )


def _failed_columns(records: list[RunRecord]) -> list[Column]:
    """Columns for a protocol under which no run got as far as a number."""
    record = records[0]
    known = catalogue.TASKS.get(record.task)
    names = list(known.metrics) if known else [record.primary_metric or NO_METRIC]
    return [
        Column(
            key=column_key(record, name),
            title=catalogue.metric_titles(record.task, name)[0],
            short_title=catalogue.metric_titles(record.task, name)[1],
            unit='',
            higher_is_better=True,
            decimals=0,
            task=record.task,
            metric=name,
        )
        for name in names
    ]


def _qualify(group: ColumnGroup, num_protocols: int) -> ColumnGroup:
    """Say the tier below full, and the protocol where a task has several."""
    protocol = group.protocol
    parts = [protocol.tier] if protocol.tier != 'full' else []
    if num_protocols > 1:
        parts.append(f'{protocol.name} {protocol.hash}')
    qualifier = ' · '.join(parts)
    return replace(group, columns=[replace(c, qualifier=qualifier) for c in group.columns])
