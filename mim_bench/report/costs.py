"""What it cost to make and to measure the rows: columns of pre-training, of each task, and totals.

Costs are facts, not a ranking: runs may differ in device. Counted are the runs that the numbers of
a row rest on, each once: a run that measured two tasks at a time has two records with one cost.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from statistics import fmean

from mim_bench.report import catalogue
from mim_bench.report.board import Cell, Column, ColumnGroup, Row
from mim_bench.results.record import RunRecord

PRETRAINING = 'pre-training'


@dataclass(frozen=True)
class Quantity:
    """A number of a run, with units from small to large as (name, size).

    ``is_optional`` ones have a column only where a run knows them; ``combine`` is over seeds.
    """

    name: str
    title: str
    units: tuple[tuple[str, float], ...]
    read: Callable[[RunRecord], float | None]
    higher_is_better: bool = False
    is_optional: bool = False
    combine: Callable[[Iterable[float]], float] = fmean


def _cost(name: str, *facts: object, **changes: object) -> Quantity:
    return Quantity(name, *facts, attrgetter(f'cost.{name}'), **changes)


_TIMES, _SIZES = (('min', 1 / 60), ('h', 1.0)), (('MiB', 2.0**20), ('GiB', 2.0**30))
_ENERGIES = (('kJ', 1e3), ('kWh', 3.6e6))
QUANTITIES = (
    _cost('img_per_s', 'img/s', (('', 1.0),), higher_is_better=True),
    _cost('peak_mem_bytes', 'Peak memory', _SIZES, combine=max),
    _cost('device_hours', 'Device time', _TIMES),
    _cost('gpu_hours', 'GPU time', _TIMES, is_optional=True),
    _cost('energy_joules', 'Energy', _ENERGIES, is_optional=True),
)
_Runs = tuple[RunRecord, ...]


def add_pretraining(rows: Sequence[Row]) -> list[ColumnGroup]:
    """Add the cost and the last metrics of pre-training to every row that has one.

    Rows of random weights cost nothing. Returns a group of columns for each tier.
    """
    runs = {row.label: (run,) for row in rows if (run := _pretraining(row)) and not row.is_random}
    tiers = {run.protocol.tier for (run,) in runs.values()}
    groups = []
    for tier in (tier for tier in catalogue.TIER_ORDER if tier in tiers):
        some = {label: pair for label, pair in runs.items() if pair[0].protocol.tier == tier}
        facts = {'title': 'Pre-training', 'qualifier': '' if tier == 'full' else tier}
        task = 'pretrain' if tier == 'full' else f'pretrain.{tier}'
        columns = _add(rows, some, QUANTITIES, _cell_of_one, task, **facts)
        # Losses of two methods differ in kind, so the last metrics are facts too.
        metrics = [_last_metric(*fact) for fact in sorted(_metrics_of(some.values()))]
        columns += _add(rows, some, metrics, _cell_of_one, task, is_headline=False, **facts)
        groups.append(ColumnGroup('Pre-training', task, columns))
    return groups


def _pretraining(row: Row) -> RunRecord | None:
    """The run that made a row's checkpoint: the latest finished one, else the latest."""
    records = (record for record in row.records if record.is_pretraining)
    return max(records, key=lambda r: (r.status == 'done', r.started_at, r.run_id), default=None)


def _cell_of_one(quantity: Quantity, _: Row, runs: _Runs) -> Cell | None:
    value = quantity.read(runs[0])
    if runs[0].status == 'failed':
        return Cell('failed', runs=runs)
    return None if value is None else Cell('value', value, runs)


def _metrics_of(runs: Iterable[_Runs]) -> set[tuple[str, str, bool]]:
    return {(n, m.unit, m.higher_is_better) for (run,) in runs for n, m in run.metrics.items()}


def _last_metric(name: str, unit: str, higher_is_better: bool) -> Quantity:
    def read(run: RunRecord) -> float | None:
        found = run.metrics.get(name)
        return found.value if found is not None and found.unit == unit else None

    return Quantity(name, f'Final {name}', ((unit, 1.0),), read, higher_is_better)


def add_task_costs(rows: Sequence[Row], groups: Sequence[ColumnGroup]) -> list[ColumnGroup]:
    """Add the cost of each task and the total to every row; returns the columns, totals first."""
    measured = [group for group in groups if group.protocol is not None]
    if not measured:
        return []  # of pre-training alone the board has the cost already
    runs = {row.label: some for row in rows if (some := _counted_runs(row, measured))}
    totals = _add(rows, runs, QUANTITIES[2:], _total, 'total', title='Total', is_sum=True)
    found = [ColumnGroup('Total cost', 'total', totals)]
    for group in measured:
        runs = {row.label: some for row in rows if (some := _runs_of(row, group))}
        facts = {'title': f'{group.title} run', 'qualifier': group.columns[0].qualifier}
        task = f'cost.{group.key}'
        columns = _add(rows, runs, QUANTITIES, _mean_cost, task, is_headline=False, **facts)
        found.append(ColumnGroup(f'{group.title}: cost of a run', task, columns))
    return [group for group in found if group.columns]


def _runs_of(row: Row, group: ColumnGroup) -> _Runs:
    """The runs behind the numbers that a row has in a group, each once."""
    cells = (row.cell(column) for column in group.columns)
    found = {run.run_id: run for cell in cells if cell.state == 'value' for run in cell.runs}
    return tuple(found.values())


def _mean_cost(quantity: Quantity, _: Row, runs: _Runs) -> Cell | None:
    values = [quantity.read(run) for run in runs]
    return None if None in values else Cell('value', quantity.combine(values), runs)


def _counted_runs(row: Row, groups: Iterable[ColumnGroup]) -> _Runs:
    """The runs whose cost is the total of a row: its pre-training, and each measurement once."""
    pretraining = _pretraining(row)
    runs = [pretraining] if pretraining and pretraining.status == 'done' else []
    runs += [run for group in groups for run in _runs_of(row, group)]
    # Records of one run share its start, its config and its cost.
    return tuple({(run.started_at, run.config, run.cost): run for run in runs}.values())


def _total(quantity: Quantity, row: Row, runs: _Runs) -> Cell:
    """The sum of all parts; where one is unknown, so is the sum, and the cell says which."""
    names = [PRETRAINING if r.is_pretraining else catalogue.task_title(r.task) for r in runs]
    parts = [(name, quantity.read(run)) for name, run in zip(names, runs, strict=True)]
    if not row.is_random and PRETRAINING not in names:
        parts.insert(0, (PRETRAINING, None))
    unknown = dict.fromkeys(name for name, value in parts if value is None)
    if unknown:
        return Cell('unknown', runs=runs, note=f'not known of: {", ".join(unknown)}')
    return Cell('value', sum(value for _, value in parts), runs)


def _add(
    rows: Sequence[Row],
    runs: Mapping[str, _Runs],
    quantities: Iterable[Quantity],
    make_cell: Callable[[Quantity, Row, _Runs], Cell | None],
    task: str,
    *,
    title: str,
    **changes: object,
) -> list[Column]:
    """Put quantities of runs, by the labels of their rows, into the rows; returns their columns."""
    counted = [run for some in runs.values() for run in some]
    # GPU time is left out where it is nothing, or the same as device time.
    has_gpus = any(run.cost.gpu_hours not in (None, run.cost.device_hours) for run in counted)
    columns = []
    for quantity in quantities:
        name = quantity.title
        is_known = not quantity.is_optional or any(map(quantity.read, counted))
        if not is_known or (quantity.name == 'gpu_hours' and not has_gpus):
            continue
        found = ((r, make_cell(quantity, r, runs[r.label])) for r in rows if r.label in runs)
        cells = [(row, cell) for row, cell in found if cell is not None]
        largest = max((cell.value or 0.0 for _, cell in cells), default=0.0)
        unit, size = choose_unit(largest, quantity.units)
        column = Column(
            key=(task, quantity.name, unit),
            title=f'{title} {name if name.startswith("GPU") else name[0].lower() + name[1:]}',
            short_title=name,
            unit=unit,
            higher_is_better=quantity.higher_is_better,
            decimals=sum(largest < limit * size for limit in (100, 10, 1)),
            task=task,
            metric=quantity.name,
            is_ranked=False,
            **changes,
        )
        for row, cell in cells:
            value = None if cell.value is None else cell.value / size
            row.cells[column.key] = replace(cell, value=value)
        if cells:
            columns.append(column)
    return columns


def choose_unit(largest: float, units: Sequence[tuple[str, float]]) -> tuple[str, float]:
    """The largest unit of which the largest value holds at least ten, else the smallest.

    Device times of a demo are minutes, those of a paper thousands of hours.
    """
    return next((unit for unit in reversed(units) if largest >= 10 * unit[1]), units[0])
