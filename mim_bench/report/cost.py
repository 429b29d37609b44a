"""The pre-training columns: what it cost to make a checkpoint, from the run that made it.

They are facts, not a ranking: the runs differ in protocol and may differ in device.
"""

from dataclasses import replace

from mim_bench.report import catalogue
from mim_bench.report.leaderboard import Cell, Column, ColumnGroup
from mim_bench.report.quantities import QUANTITIES, in_unit, known_quantities, quantity_column
from mim_bench.results.record import RunRecord

COST_TASK = 'pretrain'


def cost_group(records: list[RunRecord]) -> ColumnGroup | None:
    """The columns of pre-training cost; None if no record is of pre-training."""
    if not records:
        return None
    tiers = {record.protocol.tier for record in records}
    qualifier = '/'.join(t for t in catalogue.TIER_ORDER if t in tiers) if tiers != {'full'} else ''
    columns = []
    for quantity in known_quantities(records):
        values = [v for record in records if (v := quantity.read(record.cost)) is not None]
        columns.append(
            quantity_column(
                quantity, values, task=COST_TASK, title='Pre-training', qualifier=qualifier
            )
        )
    columns += _metric_columns(records, qualifier)
    return ColumnGroup('Pre-training', COST_TASK, columns)


def _metric_columns(records: list[RunRecord], qualifier: str) -> list[Column]:
    """Metrics of pre-training itself; losses of two methods measure different things."""
    columns: dict[str, Column] = {}
    values: dict[str, list[float]] = {}
    for record in records:
        for name, metric in record.metrics.items():
            key = f'{COST_TASK}\x1fmetric\x1f{name}\x1f{metric.unit}'
            values.setdefault(key, []).append(metric.value)
            columns[key] = Column(
                key=key,
                title=f'Pre-training {name}',
                short_title=f'Final {name}',
                unit=metric.unit,
                higher_is_better=metric.higher_is_better,
                decimals=0,
                task=COST_TASK,
                metric=name,
                qualifier=qualifier,
                is_ranked=False,
                is_headline=False,
            )
    return [
        replace(columns[key], decimals=catalogue.decimals_for(columns[key].unit, values[key]))
        for key in sorted(columns)
    ]


def latest_pretraining(records: list[RunRecord]) -> RunRecord | None:
    """The run that made a row's checkpoint: the latest finished one, else the latest.

    Args:
        records: The pre-training runs of the row's checkpoint.
    """
    return max(records, key=lambda r: (r.status == 'done', r.started_at, r.run_id), default=None)


def cost_cells(group: ColumnGroup, records: list[RunRecord]) -> dict[str, Cell]:
    """The pre-training cells of one row: from its latest finished run.

    Args:
        group: What :func:`cost_group` gave.
        records: The pre-training runs of the row's checkpoint.
    """
    record = latest_pretraining(records)
    if record is None:
        return {}
    if record.status == 'failed':
        return {column.key: Cell('failed', runs=[record]) for column in group.columns}
    # Where tiers are mixed the column cannot say which one a number is of.
    mark = record.protocol.tier if '/' in group.columns[0].qualifier else ''
    cells = {}
    for column in group.columns:
        value = _cost_value(record, column)
        if value is not None:
            cells[column.key] = Cell('value', value, runs=[record], mark=mark)
    return cells


def _cost_value(record: RunRecord, column: Column) -> float | None:
    for quantity in QUANTITIES:
        if column.key == f'{COST_TASK}\x1f{quantity.name}':
            value = quantity.read(record.cost)
            return None if value is None else in_unit(value, quantity, column)
    metric = record.metrics.get(column.metric)
    return metric.value if metric is not None and metric.unit == column.unit else None
