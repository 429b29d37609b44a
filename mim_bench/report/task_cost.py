"""What it cost to measure the rows: columns for each task, and the total with pre-training.

Counted are the runs that the numbers of a row rest on, each once: a run that measured two tasks
at a time has two records with one cost. Runs that failed, or that a later one replaced, are not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean

from mim_bench.report.catalogue import task_title
from mim_bench.report.cost import latest_pretraining
from mim_bench.report.leaderboard import Cell, ColumnGroup, Row
from mim_bench.report.quantities import (
    DEVICE_TIME,
    ENERGY,
    GPU_TIME,
    PEAK_MEMORY,
    QUANTITIES,
    Quantity,
    in_unit,
    known_quantities,
    quantity_column,
)
from mim_bench.results.record import RunRecord

TOTAL_TASK = 'total'
_TASK_PREFIX = 'cost.'
_SUMMED = (DEVICE_TIME, GPU_TIME, ENERGY)
PRETRAINING = 'pre-training'


def add_task_costs(rows: Sequence[Row], groups: Sequence[ColumnGroup]) -> list[ColumnGroup]:
    """Fill the cost cells of every row.

    Args:
        rows: Their cells below ``groups`` are there; the new cells are added.
        groups: The column groups of the tasks.

    Returns:
        The new groups: the totals first, then one for each group of a protocol.
    """
    measured = [group for group in groups if group.protocol is not None]
    if not measured:
        return []  # of pre-training alone the board has the cost already
    totals = _total_group(rows, measured)
    tasks = [_task_group(rows, group) for group in measured]
    return [group for group in (*totals, *tasks) if group.columns]


def task_of_cost(group: ColumnGroup) -> str:
    """The key of the group of which a group of :func:`add_task_costs` shows the cost."""
    return group.task.removeprefix(_TASK_PREFIX)


def cell_runs(row: Row, group: ColumnGroup) -> list[RunRecord]:
    """The runs that a row's numbers below a group rest on."""
    cells = (row.cell(column) for column in group.columns)
    runs = {run.run_id: run for cell in cells if cell.state == 'value' for run in cell.runs}
    return list(runs.values())


def _task_group(rows: Sequence[Row], group: ColumnGroup) -> ColumnGroup:
    """The mean cost of a run of one task, and the highest peak memory."""
    task = f'{_TASK_PREFIX}{group.key}'
    runs = {row.label: cell_runs(row, group) for row in rows}
    columns = []
    for quantity in known_quantities([run for some in runs.values() for run in some], QUANTITIES):
        values = {label: _mean_cost(quantity, some) for label, some in runs.items()}
        known = {label: value for label, value in values.items() if value is not None}
        if not known:
            continue
        column = quantity_column(
            quantity,
            list(known.values()),
            task=task,
            title=f'{group.title} run',
            qualifier=group.columns[0].qualifier,
            is_headline=False,
        )
        columns.append(column)
        for row in rows:
            if row.label in known:
                value = in_unit(known[row.label], quantity, column)
                row.cells[column.key] = Cell('value', value, runs=runs[row.label])
    return ColumnGroup(f'{group.title}: cost of a run', task, columns)


def _mean_cost(quantity: Quantity, runs: Sequence[RunRecord]) -> float | None:
    """Over seeds; unknown if it is for one of them."""
    values = [quantity.read(run.cost) for run in runs]
    if not values or None in values:
        return None
    return max(values) if quantity is PEAK_MEMORY else fmean(values)


def _total_group(rows: Sequence[Row], groups: Sequence[ColumnGroup]) -> list[ColumnGroup]:
    counted = {row.label: counted_runs(row, groups) for row in rows}
    columns = []
    for quantity in known_quantities([run for runs in counted.values() for run in runs], _SUMMED):
        cells = {row.label: _total(quantity, row, counted[row.label]) for row in rows}
        values = [cell.value for cell in cells.values() if cell.value is not None]
        column = quantity_column(quantity, values, task=TOTAL_TASK, title='Total', is_sum=True)
        columns.append(column)
        for row in rows:
            cell = cells[row.label]
            if cell.value is not None:
                cell = replace(cell, value=in_unit(cell.value, quantity, column))
            if cell.state != 'missing':
                row.cells[column.key] = cell
    return [ColumnGroup('Total cost', TOTAL_TASK, columns)]


def counted_runs(row: Row, groups: Iterable[ColumnGroup]) -> list[RunRecord]:
    """The runs whose cost is the total of a row: its pre-training, and each measurement once."""
    pretraining = latest_pretraining([r for r in row.records if r.is_pretraining])
    runs = [pretraining] if pretraining and pretraining.status == 'done' else []
    runs += [run for group in groups for run in cell_runs(row, group)]
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
    return PRETRAINING if run.is_pretraining else task_title(run.task)
