"""The numbers of the runs that count: metrics, and what it cost to make and to measure the rows.

Costs are facts, not a ranking: runs may differ in device. Counted are the runs that the numbers of
a row rest on, each once: a run that measured two tasks at a time has two records with one cost.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mim_bench.report import catalogue
from mim_bench.report.board import Column
from mim_bench.results.collection import Collection
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


@dataclass(frozen=True)
class Place:
    """Where a run stands on the board: the ``label`` of its row, the ``group`` of its columns.

    ``name`` is the label without the ``folder``, which is empty if there is only one.
    """

    run: RunRecord
    label: str
    group: str
    name: str
    folder: str

    @property
    def is_done(self) -> bool:
        """Whether the run measured what it should."""
        return self.run.status == 'done'


def place_runs(collection: Collection) -> Iterator[Place]:
    """The places of the runs, the oldest first."""
    runs = sorted(collection.records, key=lambda run: (run.started_at, run.run_id))
    hashes = defaultdict(set)
    for run in runs:
        # What pre-training wrote may be converted before it is used, with another hash.
        if not run.is_pretraining:
            hashes[run.checkpoint.id, collection.group(run)].add(run.checkpoint.sha256)
    for run in runs:
        name, folder, tier = run.checkpoint.id, collection.group(run), run.protocol.tier
        if len(hashes[name, folder] - {None}) > 1:
            if run.is_pretraining:
                continue  # nothing says which of several files came out of it
            name += f'@{(run.checkpoint.sha256 or "unknown")[:8]}'
        group = f'{run.task}.{tier}.{run.protocol.hash}'
        if run.is_pretraining:
            group = 'pretrain' if tier == 'full' else f'pretrain.{tier}'
        yield Place(run, f'{name} ({folder})' if folder else name, group, name, folder)


def counted_runs(places: Iterable[Place], random: Iterable[str]) -> list[Place]:
    """The runs that count: of several with one seed the latest finished, one pre-training a row.

    Those that failed count where none finished. Rows of ``random`` weights need no pre-training.
    """
    together = defaultdict(list)
    for place in places:
        kind = None if place.run.is_pretraining else place.group
        together[place.label, kind].append(place)
    counted = []
    for (label, kind), some in together.items():
        done = [place for place in some if place.is_done]
        if kind is None:
            counted += [] if label in random else (done or some)[-1:]
        else:
            counted += {place.run.seed: place for place in done}.values() or some
    return sorted(
        counted,
        key=lambda place: (
            not place.run.is_pretraining, not place.is_done, place.is_done and place.run.seed,
            place.run.started_at, place.run.run_id,
        ),
    )  # fmt: skip


class Number(NamedTuple):
    """A number of a run, or a part of a total; the first six fields make its column.

    ``part`` is a result of a ``task`` or a cost: of ``pretraining``, of the runs of a task, or
    ``total``. ``group`` names the columns of one task, tier and protocol. Without a value the run
    failed, or what ``unknown`` says is not known.
    """

    part: Literal['task', 'pretraining', 'total', 'cost']
    group: str
    metric: str
    unit: str
    higher_is_better: bool
    split: str
    label: str
    run: RunRecord | None
    value: float | None
    unknown: str = ''


def result_numbers(counted: Sequence[Place]) -> Iterator[Number]:
    """The metrics of downstream runs; one that failed has those of its group."""
    known = defaultdict(dict)
    for label, group, run in ((place.label, place.group, place.run) for place in counted):
        if run.is_pretraining:
            continue
        for name, m in run.metrics.items() if run.status == 'done' else ():
            key = (name, m.unit, m.higher_is_better, m.split)
            known[group][key] = None
            yield Number('task', group, *key, label, run, m.value)
        # The failed ones come last.
        if run.status == 'failed':
            task = catalogue.TASKS.get(run.task)
            names = task.metrics if task else [run.primary_metric or 'result']
            # Of two names for one quantity the first.
            titled = {catalogue.metric_titles(run.task, name): name for name in reversed(names)}
            for key in known[group] or [(name, '', True, '') for name in titled.values()]:
                yield Number('task', group, *key, label, run, None)


def cost_numbers(counted: Sequence[Place]) -> Iterator[Number]:
    """The costs of runs, and the last metrics of pre-trainings: their losses differ in kind."""
    groups = defaultdict(list)
    for place in counted:
        if place.is_done or place.run.is_pretraining:
            groups[place.group].append(place)
    for group, places in groups.items():
        metrics = _known_costs(place.run for place in places)
        for label, run in ((place.label, place.run) for place in places):
            part = 'pretraining' if run.is_pretraining else 'cost'
            head = (part, group if run.is_pretraining else f'cost.{group}')
            facts = {
                (name, '', QUANTITIES[name].higher_is_better): getattr(run.cost, name)
                for name in metrics
            }
            if run.is_pretraining:
                facts |= {(n, m.unit, m.higher_is_better): m.value for n, m in run.metrics.items()}
            for key, value in facts.items():
                if run.status == 'failed':
                    yield Number(*head, *key, '', label, run, None)
                elif value is not None:
                    yield Number(*head, *key, '', label, run, value)


def total_numbers(counted: Sequence[Place], random: Iterable[str]) -> Iterator[Number]:
    """The parts of the total cost of each row; rows of ``random`` weights need no pre-training."""
    done = [place for place in counted if place.is_done]
    made = {place.label for place in done if place.run.is_pretraining}
    if all(place.run.is_pretraining for place in done):
        return  # of pre-training alone the board has the cost already
    # Records of one run share its start, its config and its cost.
    once = {}
    for p in done:
        once.setdefault((p.label, p.run.started_at, p.run.config, p.run.cost), p)
    missing = sorted({place.label for place in done} - made - set(random))
    for metric in _known_costs(place.run for place in done):
        if metric not in _SUMS:
            continue
        head = ('total', 'total', metric, '', False, '')
        yield from (Number(*head, label, None, None, PRETRAINING) for label in missing)
        for place in once.values():
            what, value = catalogue.task_title(place.run.task), getattr(place.run.cost, metric)
            what = PRETRAINING if place.run.is_pretraining else what
            yield Number(*head, place.label, place.run, value, what if value is None else '')


def _known_costs(runs: Iterable[RunRecord]) -> list[str]:
    """The quantities that any run knows; GPU time only where it is not that of all devices."""
    costs = [run.cost for run in runs]
    is_mixed = any(cost.gpu_hours not in (None, cost.device_hours) for cost in costs)
    known = {name for name in QUANTITIES if any(getattr(cost, name) for cost in costs)}
    known = (known | {'device_hours'}) - (set() if is_mixed else {'gpu_hours'})
    return [name for name in QUANTITIES if name in known]


def cost_column(number: Number, largest: float, run: RunRecord) -> tuple[Column, float]:
    """The column of a cost, whose largest value is given, and the size of its unit."""
    part, group, metric, unit, higher_is_better, split = number[:6]
    quantity = QUANTITIES.get(metric) or Quantity(f'final {metric}', ((unit, 1.0),))
    unit, size = choose_unit(largest, quantity.units)
    task = catalogue.task_title(run.task)
    group_title, title = {
        'pretraining': ('Pre-training', 'Pre-training'),
        'total': ('Total cost', 'Total'),
        'cost': (f'{task}: cost of a run', f'{task} run'),
    }[part]
    column = Column(
        part, group, metric, unit, higher_is_better, split, group_title,
        task='total' if part == 'total' else run.task,
        title=f'{title} {quantity.title}',
        short_title=re.sub('^[a-z](?!mg/s)', lambda first: first[0].upper(), quantity.title),
        decimals=sum(largest < limit * size for limit in (100, 10, 1)),
        is_headline=part == 'total' or (part == 'pretraining' and metric in QUANTITIES),
    )  # fmt: skip
    return column, size


def choose_unit(largest: float, units: _Units) -> tuple[str, float]:
    """The largest unit of which the largest value holds at least ten, else the smallest.

    Device times of a demo are minutes, those of a paper thousands of hours.
    """
    return next((unit for unit in reversed(units) if largest >= 10 * unit[1]), units[0])
