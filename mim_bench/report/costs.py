"""What it cost to make and to measure the rows: columns of pre-training, of each task, and totals.

Costs are facts, not a ranking: runs may differ in device. Counted are the runs that the numbers of
a row rest on, each once: a run that measured two tasks at a time has two records with one cost.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from mim_bench.report import catalogue
from mim_bench.report.board import Column
from mim_bench.results.record import RunRecord

PRETRAINING = 'pre-training'
_Units = Sequence[tuple[str, float]]


class Quantity(NamedTuple):
    """A field of a record's cost, with units from small to large as (name, size)."""

    title: str
    units: _Units
    higher_is_better: bool = False


_TIMES, _SIZES = (('min', 1 / 60), ('h', 1.0)), (('MiB', 2.0**20), ('GiB', 2.0**30))
QUANTITIES = {
    'img_per_s': Quantity('img/s', (('', 1.0),), higher_is_better=True),
    'data_wait_share': Quantity('wait for data', (('%', 0.01),)),
    'peak_mem_bytes': Quantity('peak memory', _SIZES),
    'device_hours': Quantity('device time', _TIMES),
    'gpu_hours': Quantity('GPU time', _TIMES),
    'energy_joules': Quantity('energy', (('kJ', 1e3), ('kWh', 3.6e6))),
}
_SUMS = ('device_hours', 'gpu_hours', 'energy_joules')


def cost_numbers(counted: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A line for each cost of a run, and for each last metric of a pre-training.

    Args:
        counted: A line a run, with its ``label`` and ``group``; a failed pre-training has lines
            without a value.
    """
    counted = counted[counted['is_done'] | counted['is_pretraining']]
    known = {group: _known_costs(some) for group, some in counted.groupby('group')['run']}
    for line in counted.itertuples():
        part = 'pretraining' if line.is_pretraining else 'cost'
        number = {'part': part, 'label': line.label, 'run': line.run, 'split': ''}
        number['group'] = line.group if line.is_pretraining else f'cost.{line.group}'
        for metric in known[line.group]:
            value = getattr(line.run.cost, metric)
            if value is not None or not line.is_done:
                better = QUANTITIES[metric].higher_is_better
                yield number | _named(metric, '', better, value if line.is_done else None)
        for name, m in line.run.metrics.items() if line.is_pretraining else ():
            # Losses of two methods differ in kind, so the last metrics are facts too.
            value = m.value if line.is_done else None
            yield number | _named(name, m.unit, m.higher_is_better, value)


def total_numbers(counted: pd.DataFrame, rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A line for each part of a row's total cost, without a value where it is not known.

    Args:
        counted: As in :func:`cost_numbers`.
        rows: Of the board, whose ``is_random`` ones need no pre-training.
    """
    if counted['is_pretraining'].all():
        return  # of pre-training alone the board has the cost already
    # Records of one run share its start, its config and its cost.
    facts = {name: [getattr(run, name) for run in counted['run']] for name in ('config', 'cost')}
    once = counted.assign(**facts).drop_duplicates(['label', 'started_at', 'config', 'cost'])
    parts = [(line.label, line.run) for line in once.itertuples()]
    missing = set(rows.index[~rows['is_random']]) & set(once['label'])
    missing -= set(once['label'][once['is_pretraining']])
    for metric in [metric for metric in _SUMS if metric in _known_costs(counted['run'])]:
        number = {'part': 'total', 'group': 'total', 'split': ''} | _named(metric, '', False, None)
        for label in sorted(missing):
            yield number | {'label': label, 'unknown': PRETRAINING}
        for label, run in parts:
            value = getattr(run.cost, metric)
            what = PRETRAINING if run.is_pretraining else catalogue.task_title(run.task)
            unknown = what if value is None else None
            yield number | {'label': label, 'run': run, 'value': value, 'unknown': unknown}


def _known_costs(runs: Iterable[RunRecord]) -> list[str]:
    """The quantities that any run knows; GPU time only where it is not that of all devices."""
    costs = [run.cost for run in runs]
    is_mixed = any(cost.gpu_hours not in (None, cost.device_hours) for cost in costs)
    known = {name for name in QUANTITIES if any(getattr(cost, name) for cost in costs)}
    known = (known | {'device_hours'}) - (set() if is_mixed else {'gpu_hours'})
    return [name for name in QUANTITIES if name in known]


def _named(metric: str, unit: str, higher_is_better: bool, value: float | None) -> dict[str, Any]:
    return {'metric': metric, 'unit': unit, 'higher_is_better': higher_is_better, 'value': value}


def cost_column(key: dict[str, Any], largest: float, run: RunRecord) -> tuple[Column, float]:
    """The column of a cost, and the size of its unit.

    Args:
        key: Part, group, metric and unit of the numbers, and which is better.
        largest: The largest value.
        run: One that it was measured on.
    """
    part, metric = key['part'], key['metric']
    quantity = QUANTITIES.get(metric) or Quantity(f'final {metric}', ((key['unit'], 1.0),))
    unit, size = choose_unit(largest, quantity.units)
    titles = {
        'pretraining': ('Pre-training', 'Pre-training'),
        'total': ('Total cost', 'Total'),
        'cost': (f'{(task := catalogue.task_title(run.task))}: cost of a run', f'{task} run'),
    }
    group_title, title = titles[part]
    column = Column(
        **key | {'unit': unit},
        group_title=group_title,
        task='total' if part == 'total' else run.task,
        title=f'{title} {quantity.title}',
        short_title=re.sub('^[a-z](?!mg/s)', lambda first: first[0].upper(), quantity.title),
        decimals=sum(largest < limit * size for limit in (100, 10, 1)),
        is_headline=part == 'total' or (part == 'pretraining' and metric in QUANTITIES),
    )
    return column, size


def choose_unit(largest: float, units: _Units) -> tuple[str, float]:
    """The largest unit of which the largest value holds at least ten, else the smallest.

    Device times of a demo are minutes, those of a paper thousands of hours.
    """
    return next((unit for unit in reversed(units) if largest >= 10 * unit[1]), units[0])
