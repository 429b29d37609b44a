"""What it cost to make and to measure the rows: columns of pre-training, of each task, and totals.

Costs are facts, not a ranking: runs may differ in device. Counted are the runs that the numbers of
a row rest on, each once: a run that measured two tasks at a time has two records with one cost.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from mim_bench.report import catalogue
from mim_bench.report.board import SEPARATOR, Cell, Column, ColumnGroup, Row
from mim_bench.results.record import Cost, RunRecord

COST_TASK = 'pretrain'
TOTAL_TASK = 'total'
PRETRAINING = 'pre-training'
_TASK_PREFIX = 'cost.'


@dataclass(frozen=True)
class Quantity:
    """A number of a run's cost, with units from small to large as (name, size).

    ``is_optional`` ones have a column only where a run knows them.
    """

    name: str
    title: str
    units: tuple[tuple[str, float], ...]
    higher_is_better: bool = False
    is_optional: bool = False
    combine: Callable[[Iterable[float]], float] = fmean

    def read(self, cost: Cost) -> float | None:
        """The number in a cost; None where it is not known."""
        return getattr(cost, self.name)


_TIMES, _SIZES = (('min', 1 / 60), ('h', 1.0)), (('MiB', 2.0**20), ('GiB', 2.0**30))
_ENERGIES = (('kJ', 1e3), ('kWh', 3.6e6))
QUANTITIES = (
    Quantity('img_per_s', 'img/s', (('', 1.0),), higher_is_better=True),
    Quantity('peak_mem_bytes', 'Peak memory', _SIZES, combine=max),
    Quantity('device_hours', 'Device time', _TIMES),
    Quantity('gpu_hours', 'GPU time', _TIMES, is_optional=True),
    Quantity('energy_joules', 'Energy', _ENERGIES, is_optional=True),
)
_SUMMED = QUANTITIES[2:]


def _known(records: Sequence[RunRecord], quantities: Sequence[Quantity]) -> list[Quantity]:
    """Those that some run knows, and those that always have a column.

    GPU time is left out where it is nothing, or the same as device time.
    """
    costs = [record.cost for record in records]
    known = [q for q in quantities if not q.is_optional or any(q.read(c) for c in costs)]
    if all(cost.gpu_hours in (None, cost.device_hours) for cost in costs):
        known = [q for q in known if q.name != 'gpu_hours']
    return known


def _column(
    quantity: Quantity, values: Sequence[float], *, task: str, title: str, **changes: object
) -> Column:
    """The column of a quantity; ``values`` are all of them, in the quantity's own unit."""
    unit, size = choose_unit(values, quantity.units)
    name = quantity.title
    inside = name if name.startswith('GPU') else name[0].lower() + name[1:]
    return Column(
        key=f'{task}{SEPARATOR}{quantity.name}',
        title=f'{title} {inside}',
        short_title=name,
        unit=unit,
        higher_is_better=quantity.higher_is_better,
        decimals=0 if max((value / size for value in values), default=0.0) >= 100 else 1,
        task=task,
        metric=quantity.name,
        is_ranked=False,
        **changes,
    )


def choose_unit(values: Sequence[float], units: Sequence[tuple[str, float]]) -> tuple[str, float]:
    """The largest unit of which the largest value holds at least ten.

    Device times of a demo are minutes, those of a paper thousands of hours.
    """
    largest = max(values, default=0.0)
    fitting = [unit for unit in units if largest >= 10 * unit[1]]
    return fitting[-1] if fitting else units[0]


def _in_unit(value: float, quantity: Quantity, column: Column) -> float:
    return value / dict(quantity.units)[column.unit]


def cost_group(records: list[RunRecord]) -> ColumnGroup | None:
    """The columns of pre-training: its cost and its last metrics; None without pre-training."""
    if not records:
        return None
    tiers = {record.protocol.tier for record in records}
    qualifier = '/'.join(t for t in catalogue.TIER_ORDER if t in tiers) if tiers != {'full'} else ''
    columns = []
    for quantity in _known(records, QUANTITIES):
        values = [v for record in records if (v := quantity.read(record.cost)) is not None]
        columns.append(
            _column(quantity, values, task=COST_TASK, title='Pre-training', qualifier=qualifier)
        )
    return ColumnGroup('Pre-training', COST_TASK, [*columns, *_last_metrics(records, qualifier)])


def _last_metrics(records: list[RunRecord], qualifier: str) -> list[Column]:
    """Metrics of pre-training itself; losses of two methods measure different things."""
    found: dict[tuple[str, str], list] = {}
    for record in records:
        for name, metric in record.metrics.items():
            found.setdefault((name, metric.unit), []).append(metric)
    return [
        Column(
            key=SEPARATOR.join((COST_TASK, 'metric', name, unit)),
            title=f'Pre-training {name}',
            short_title=f'Final {name}',
            unit=unit,
            higher_is_better=metrics[0].higher_is_better,
            decimals=catalogue.decimals_for(unit, [metric.value for metric in metrics]),
            task=COST_TASK,
            metric=name,
            qualifier=qualifier,
            is_ranked=False,
            is_headline=False,
        )
        for (name, unit), metrics in sorted(found.items())
    ]


def latest_pretraining(records: Iterable[RunRecord]) -> RunRecord | None:
    """The run that made a row's checkpoint: the latest finished one, else the latest."""
    return max(records, key=lambda r: (r.status == 'done', r.started_at, r.run_id), default=None)


def cost_cells(group: ColumnGroup, records: list[RunRecord]) -> dict[str, Cell]:
    """The pre-training cells of one row.

    Args:
        group: What :func:`cost_group` returned.
        records: The pre-training runs of the row's checkpoint.
    """
    record = latest_pretraining(records)
    if record is None:
        return {}
    if record.status == 'failed':
        return {column.key: Cell('failed', runs=[record]) for column in group.columns}
    # Where tiers are mixed the column cannot say which one a number is of.
    mark = record.protocol.tier if '/' in group.columns[0].qualifier else ''
    quantities = {quantity.name: quantity for quantity in QUANTITIES}
    cells = {}
    for column in group.columns:
        if quantity := quantities.get(column.metric):
            value = quantity.read(record.cost)
            value = None if value is None else _in_unit(value, quantity, column)
        else:
            metric = record.metrics.get(column.metric)
            value = metric.value if metric is not None and metric.unit == column.unit else None
        if value is not None:
            cells[column.key] = Cell('value', value, runs=[record], mark=mark)
    return cells


def add_task_costs(rows: Sequence[Row], groups: Sequence[ColumnGroup]) -> list[ColumnGroup]:
    """Add the cost cells to every row; the groups of their columns, totals first, are returned."""
    measured = [group for group in groups if group.protocol is not None]
    if not measured:
        return []  # of pre-training alone the board has the cost already
    found = [_total_group(rows, measured), *(_task_group(rows, group) for group in measured)]
    return [group for group in found if group.columns]


def task_of_cost(group: ColumnGroup) -> str:
    """The key of the group of which a group of :func:`add_task_costs` shows the cost."""
    return group.task.removeprefix(_TASK_PREFIX)


def _cell_runs(row: Row, group: ColumnGroup) -> list[RunRecord]:
    """The runs that a row's numbers below a group rest on."""
    cells = (row.cell(column) for column in group.columns)
    runs = {run.run_id: run for cell in cells if cell.state == 'value' for run in cell.runs}
    return list(runs.values())


def _task_group(rows: Sequence[Row], group: ColumnGroup) -> ColumnGroup:
    """The mean cost of a run of one task over seeds, and the highest peak memory."""
    task = f'{_TASK_PREFIX}{group.key}'
    runs = {row.label: _cell_runs(row, group) for row in rows}
    columns = []
    for quantity in _known([run for some in runs.values() for run in some], QUANTITIES):
        values = {}
        for label, some in runs.items():
            costs = [quantity.read(run.cost) for run in some]
            if costs and None not in costs:
                values[label] = quantity.combine(costs)
        if not values:
            continue
        column = _column(
            quantity, list(values.values()), task=task, title=f'{group.title} run',
            qualifier=group.columns[0].qualifier, is_headline=False,
        )  # fmt: skip
        columns.append(column)
        for row in rows:
            if row.label in values:
                value = _in_unit(values[row.label], quantity, column)
                row.cells[column.key] = Cell('value', value, runs=runs[row.label])
    return ColumnGroup(f'{group.title}: cost of a run', task, columns)


def _total_group(rows: Sequence[Row], groups: Sequence[ColumnGroup]) -> ColumnGroup:
    counted = {row.label: _counted_runs(row, groups) for row in rows}
    columns = []
    for quantity in _known([run for runs in counted.values() for run in runs], _SUMMED):
        cells = {row.label: _total(quantity, row, counted[row.label]) for row in rows}
        values = [cell.value for cell in cells.values() if cell.value is not None]
        column = _column(quantity, values, task=TOTAL_TASK, title='Total', is_sum=True)
        columns.append(column)
        for row in rows:
            cell = cells[row.label]
            if cell.value is not None:
                cell = replace(cell, value=_in_unit(cell.value, quantity, column))
            if cell.state != 'missing':
                row.cells[column.key] = cell
    return ColumnGroup('Total cost', TOTAL_TASK, columns)


def _counted_runs(row: Row, groups: Iterable[ColumnGroup]) -> list[RunRecord]:
    """The runs whose cost is the total of a row: its pre-training, and each measurement once."""
    pretraining = latest_pretraining(r for r in row.records if r.is_pretraining)
    runs = [pretraining] if pretraining and pretraining.status == 'done' else []
    runs += [run for group in groups for run in _cell_runs(row, group)]
    # Records of one run share its start, its config and its cost.
    return list({(run.started_at, run.config, run.cost): run for run in runs}.values())


def _total(quantity: Quantity, row: Row, runs: Sequence[RunRecord]) -> Cell:
    """The sum of all parts; where one is unknown, so is the sum, and the cell says which."""
    if not runs:
        return Cell()
    unknown = [_part(run) for run in runs if quantity.read(run.cost) is None]
    if not row.is_random and not any(run.is_pretraining for run in runs):
        unknown.insert(0, PRETRAINING)
    if unknown:
        note = f'not known of: {", ".join(dict.fromkeys(unknown))}'
        return Cell('unknown', runs=list(runs), note=note)
    return Cell('value', sum(quantity.read(run.cost) for run in runs), runs=list(runs))


def _part(run: RunRecord) -> str:
    return PRETRAINING if run.is_pretraining else catalogue.task_title(run.task)
