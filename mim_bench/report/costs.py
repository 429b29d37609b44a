"""What it cost to make and to measure the rows: columns of pre-training, of each task, and totals.

Costs are facts, not a ranking: runs may differ in device. Counted are the runs that the numbers of
a row rest on, each once: a run that measured two tasks at a time has two records with one cost.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from mim_bench.report import catalogue
from mim_bench.report.board import MISSING, Cell, Column, ColumnGroup, Row
from mim_bench.results.record import Cost, RunRecord

PRETRAINING = 'pre-training'


@dataclass(frozen=True)
class Quantity:
    """A number of a run's cost, with units from small to large as (name, size).

    ``is_optional`` ones have a column only where a run knows them; ``combine`` is over seeds.
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


def add_pretraining_costs(rows: Sequence[Row], records: Sequence[RunRecord]) -> ColumnGroup | None:
    """Add the cost and the last metrics of pre-training to every row that has one.

    Args:
        rows: Of the board; those of random weights cost nothing.
        records: All runs of pre-training.

    Returns:
        The columns; None without pre-training.
    """
    if not records:
        return None
    tiers = {record.protocol.tier for record in records}
    qualifier = '/'.join(t for t in catalogue.TIER_ORDER if t in tiers) if tiers != {'full'} else ''
    runs = {row.label: _latest_pretraining(row) for row in rows if not row.is_random}

    def cells(read: Callable[[RunRecord], float | None]) -> dict[str, Cell]:
        found = {}
        for label, run in runs.items():
            if run is not None and run.status == 'failed':
                found[label] = Cell('failed', runs=[run])
            elif run is not None and (value := read(run)) is not None:
                # Where tiers are mixed the column cannot say which one a number is of.
                mark = run.protocol.tier if '/' in qualifier else ''
                found[label] = Cell('value', value, runs=[run], mark=mark)
        return found

    facts = {'task': 'pretrain', 'qualifier': qualifier}
    columns = [
        _add(rows, q, cells(lambda run, q=q: q.read(run.cost)), title='Pre-training', **facts)
        for q in _known(records, QUANTITIES)
    ]
    # Losses of two methods measure different things; they are facts.
    metrics = {(name, m.unit): m for record in records for name, m in record.metrics.items()}
    for (name, unit), metric in sorted(metrics.items(), key=lambda item: item[0]):

        def read(run: RunRecord, name: str = name, unit: str = unit) -> float | None:
            found = run.metrics.get(name)
            return found.value if found is not None and found.unit == unit else None

        found = cells(read)
        values = [cell.value for cell in found.values() if cell.value is not None]
        column = Column(
            key=('pretrain', 'metric', name, unit), title=f'Pre-training {name}',
            short_title=f'Final {name}', unit=unit, higher_is_better=metric.higher_is_better,
            decimals=catalogue.decimals_for(unit, values), metric=name, is_ranked=False,
            is_headline=False, **facts,
        )  # fmt: skip
        _put(rows, column, found)
        columns.append(column)
    return ColumnGroup('Pre-training', 'pretrain', columns)


def _latest_pretraining(row: Row) -> RunRecord | None:
    """The run that made a row's checkpoint: the latest finished one, else the latest."""
    records = (record for record in row.records if record.is_pretraining)
    return max(records, key=lambda r: (r.status == 'done', r.started_at, r.run_id), default=None)


def _known(records: Sequence[RunRecord], quantities: Sequence[Quantity]) -> list[Quantity]:
    """Those that some run knows, and those that always have a column.

    GPU time is left out where it is nothing, or the same as device time.
    """
    costs = [record.cost for record in records]
    known = [q for q in quantities if not q.is_optional or any(q.read(c) for c in costs)]
    if all(cost.gpu_hours in (None, cost.device_hours) for cost in costs):
        known = [q for q in known if q.name != 'gpu_hours']
    return known


def _add(
    rows: Sequence[Row], quantity: Quantity, cells: Mapping[str, Cell], *, task: str, title: str,
    **changes: object,
) -> Column:  # fmt: skip
    """Put a quantity into rows, by their labels, in a unit that fits; returns its column."""
    values = [cell.value for cell in cells.values() if cell.value is not None]
    unit, size = choose_unit(values, quantity.units)
    name = quantity.title
    inside = name if name.startswith('GPU') else name[0].lower() + name[1:]
    column = Column(
        key=(task, quantity.name),
        title=f'{title} {inside}',
        short_title=name,
        unit=unit,
        higher_is_better=quantity.higher_is_better,
        decimals=0 if max(values, default=0.0) / size >= 100 else 1,
        task=task,
        metric=quantity.name,
        is_ranked=False,
        **changes,
    )
    _put(rows, column, cells, size)
    return column


def _put(rows: Sequence[Row], column: Column, cells: Mapping[str, Cell], size: float = 1.0) -> None:
    for row in rows:
        cell = cells.get(row.label, MISSING)
        if cell.state != 'missing':
            value = None if cell.value is None else cell.value / size
            row.cells[column.key] = replace(cell, value=value)


def choose_unit(values: Sequence[float], units: Sequence[tuple[str, float]]) -> tuple[str, float]:
    """The largest unit of which the largest value holds at least ten.

    Device times of a demo are minutes, those of a paper thousands of hours.
    """
    largest = max(values, default=0.0)
    fitting = [unit for unit in units if largest >= 10 * unit[1]]
    return fitting[-1] if fitting else units[0]


def add_task_costs(rows: Sequence[Row], groups: Sequence[ColumnGroup]) -> list[ColumnGroup]:
    """Add the cost of each task and the total to every row; returns the columns, totals first."""
    measured = [group for group in groups if group.protocol is not None]
    if not measured:
        return []  # of pre-training alone the board has the cost already
    found = [_add_totals(rows, measured), *(_add_task(rows, group) for group in measured)]
    return [group for group in found if group.columns]


def _runs_of(row: Row, group: ColumnGroup) -> list[RunRecord]:
    """The runs behind the numbers that a row has in a group, each once."""
    cells = (row.cell(column) for column in group.columns)
    return list(
        {r.run_id: r for cell in cells if cell.state == 'value' for r in cell.runs}.values()
    )


def _add_task(rows: Sequence[Row], group: ColumnGroup) -> ColumnGroup:
    """The mean cost of a run of one task over seeds, and the highest peak memory."""
    runs = {row.label: some for row in rows if (some := _runs_of(row, group))}
    task, columns = f'cost.{group.key}', []
    for quantity in _known([run for some in runs.values() for run in some], QUANTITIES):
        costs = {label: [quantity.read(r.cost) for r in some] for label, some in runs.items()}
        cells = {
            label: Cell('value', quantity.combine(some), runs=runs[label])
            for label, some in costs.items()
            if None not in some
        }
        if cells:
            columns.append(
                _add(rows, quantity, cells, task=task, title=f'{group.title} run',
                     qualifier=group.columns[0].qualifier, is_headline=False)
            )  # fmt: skip
    return ColumnGroup(f'{group.title}: cost of a run', task, columns)


def _add_totals(rows: Sequence[Row], groups: Sequence[ColumnGroup]) -> ColumnGroup:
    runs = {row.label: _counted_runs(row, groups) for row in rows}
    columns = []
    for quantity in _known([run for some in runs.values() for run in some], _SUMMED):
        cells = {row.label: _total(quantity, row, runs[row.label]) for row in rows}
        columns.append(_add(rows, quantity, cells, task='total', title='Total', is_sum=True))
    return ColumnGroup('Total cost', 'total', columns)


def _counted_runs(row: Row, groups: Iterable[ColumnGroup]) -> list[RunRecord]:
    """The runs whose cost is the total of a row: its pre-training, and each measurement once."""
    pretraining = _latest_pretraining(row)
    runs = [pretraining] if pretraining and pretraining.status == 'done' else []
    runs += [run for group in groups for run in _runs_of(row, group)]
    # Records of one run share its start, its config and its cost.
    return list({(run.started_at, run.config, run.cost): run for run in runs}.values())


def _total(quantity: Quantity, row: Row, runs: Sequence[RunRecord]) -> Cell:
    """The sum of all parts; where one is unknown, so is the sum, and the cell says which."""
    if not runs:
        return MISSING
    unknown = [
        PRETRAINING if run.is_pretraining else catalogue.task_title(run.task)
        for run in runs
        if quantity.read(run.cost) is None
    ]
    if not row.is_random and not any(run.is_pretraining for run in runs):
        unknown.insert(0, PRETRAINING)
    if unknown:
        note = f'not known of: {", ".join(dict.fromkeys(unknown))}'
        return Cell('unknown', runs=list(runs), note=note)
    return Cell('value', sum(quantity.read(run.cost) for run in runs), runs=list(runs))
