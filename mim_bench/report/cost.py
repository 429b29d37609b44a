"""The pre-training columns: what it cost to make a checkpoint, from the run that made it.

They are facts, not a ranking: the runs differ in protocol and may differ in device.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mim_bench.report import catalogue
from mim_bench.report.leaderboard import Cell, Column, ColumnGroup
from mim_bench.results.record import RunRecord

COST_TASK = 'pretrain'


@dataclass(frozen=True)
class _Quantity:
    """A number of a pre-training run, with units from small to large as (name, size)."""

    name: str
    title: str
    short_title: str
    read: Callable[[RunRecord], float | None]
    units: tuple[tuple[str, float], ...]
    higher_is_better: bool = False


_QUANTITIES = (
    _Quantity(
        'img_per_s',
        'Pre-training img/s',
        'img/s',
        lambda record: record.cost.img_per_s,
        (('', 1.0),),
        higher_is_better=True,
    ),
    _Quantity(
        'peak_mem_bytes',
        'Pre-training peak memory',
        'Peak memory',
        lambda record: record.cost.peak_mem_bytes,
        (('MiB', 2.0**20), ('GiB', 2.0**30)),
    ),
    _Quantity(
        'device_hours',
        'Pre-training device time',
        'Device time',
        lambda record: record.cost.device_hours,
        (('min', 1 / 60), ('h', 1.0)),
    ),
)


def cost_group(records: list[RunRecord]) -> ColumnGroup | None:
    """The columns of pre-training cost; None if no record is of pre-training."""
    if not records:
        return None
    tiers = {record.protocol.tier for record in records}
    qualifier = '/'.join(t for t in catalogue.TIER_ORDER if t in tiers) if tiers != {'full'} else ''
    columns = [_make_column(quantity, records, qualifier) for quantity in _QUANTITIES]
    columns += _metric_columns(records, qualifier)
    return ColumnGroup('Pre-training', COST_TASK, columns)


def _make_column(quantity: _Quantity, records: list[RunRecord], qualifier: str) -> Column:
    values = [value for record in records if (value := quantity.read(record)) is not None]
    unit, size = choose_unit(values, quantity.units)
    return Column(
        key=f'{COST_TASK}\x1f{quantity.name}',
        title=quantity.title,
        short_title=quantity.short_title,
        unit=unit,
        higher_is_better=quantity.higher_is_better,
        decimals=_cost_decimals([value / size for value in values]),
        task=COST_TASK,
        metric=quantity.name,
        qualifier=qualifier,
        is_ranked=False,
    )


def choose_unit(values: list[float], units: tuple[tuple[str, float], ...]) -> tuple[str, float]:
    """The largest unit of which the largest value holds at least ten.

    Device times of a demo are minutes, those of a paper thousands of hours.
    """
    largest = max(values, default=0.0)
    fitting = [unit for unit in units if largest >= 10 * unit[1]]
    return fitting[-1] if fitting else units[0]


def _cost_decimals(values: list[float]) -> int:
    return 0 if max(values, default=0.0) >= 100 else 1


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


def cost_cells(group: ColumnGroup, records: list[RunRecord]) -> dict[str, Cell]:
    """The pre-training cells of one row: from its latest finished run.

    Args:
        group: What :func:`cost_group` gave.
        records: The pre-training runs of the row's checkpoint.
    """
    ordered = sorted(records, key=lambda r: (r.status == 'done', r.started_at, r.run_id))
    if not ordered:
        return {}
    record = ordered[-1]
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
    for quantity in _QUANTITIES:
        if column.metric == quantity.name and column.key == f'{COST_TASK}\x1f{quantity.name}':
            value = quantity.read(record)
            return None if value is None else value / dict(quantity.units)[column.unit]
    metric = record.metrics.get(column.metric)
    return metric.value if metric is not None and metric.unit == column.unit else None
