"""What a run cost, as columns: hours, speed, memory and energy with fitting units.

They are facts, not a ranking: the runs may differ in device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mim_bench.report.leaderboard import Column
from mim_bench.results.record import Cost, RunRecord

SEPARATOR = '\x1f'


@dataclass(frozen=True)
class Quantity:
    """A number of a run's cost, with units from small to large as (name, size).

    ``is_optional`` ones have a column only where a run knows them.
    """

    name: str
    title: str
    read: Callable[[Cost], float | None]
    units: tuple[tuple[str, float], ...]
    higher_is_better: bool = False
    is_optional: bool = False


IMG_PER_S = Quantity(
    'img_per_s', 'img/s', lambda cost: cost.img_per_s, (('', 1.0),), higher_is_better=True
)
PEAK_MEMORY = Quantity(
    'peak_mem_bytes',
    'Peak memory',
    lambda cost: cost.peak_mem_bytes,
    (('MiB', 2.0**20), ('GiB', 2.0**30)),
)
DEVICE_TIME = Quantity(
    'device_hours',
    'Device time',
    lambda cost: cost.device_hours,
    (('min', 1 / 60), ('h', 1.0)),
)
GPU_TIME = Quantity(
    'gpu_hours',
    'GPU time',
    lambda cost: cost.gpu_hours,
    (('min', 1 / 60), ('h', 1.0)),
    is_optional=True,
)
ENERGY = Quantity(
    'energy_joules',
    'Energy',
    lambda cost: cost.energy_joules,
    (('kJ', 1e3), ('kWh', 3.6e6)),
    is_optional=True,
)
QUANTITIES = (IMG_PER_S, PEAK_MEMORY, DEVICE_TIME, GPU_TIME, ENERGY)


def known_quantities(
    records: Sequence[RunRecord], quantities: Sequence[Quantity] = QUANTITIES
) -> list[Quantity]:
    """Those that some run knows, and those that always have a column.

    GPU time is left out where it is nothing, or the same as device time.
    """
    costs = [record.cost for record in records]
    known = [q for q in quantities if not q.is_optional or any(q.read(c) for c in costs)]
    if all(cost.gpu_hours in (None, cost.device_hours) for cost in costs):
        known = [q for q in known if q is not GPU_TIME]
    return known


def quantity_column(
    quantity: Quantity,
    values: Sequence[float],
    *,
    task: str,
    title: str,
    qualifier: str = '',
    is_headline: bool = True,
    is_sum: bool = False,
) -> Column:
    """The column of a quantity.

    Args:
        quantity: What it shows.
        values: All of them, in the quantity's own unit.
        task: Of the column's group; the key follows from it.
        title: Whose cost it is, for example ``Pre-training``.
        qualifier: Tiers, where not all are full.
        is_headline: Whether it stands in the first table.
        is_sum: Whether it adds up the runs of a row.
    """
    unit, size = choose_unit(values, quantity.units)
    return Column(
        key=f'{task}{SEPARATOR}{quantity.name}',
        title=f'{title} {_inside(quantity.title)}',
        short_title=quantity.title,
        unit=unit,
        higher_is_better=quantity.higher_is_better,
        decimals=0 if max((value / size for value in values), default=0.0) >= 100 else 1,
        task=task,
        metric=quantity.name,
        qualifier=qualifier,
        is_ranked=False,
        is_headline=is_headline,
        is_sum=is_sum,
    )


def _inside(title: str) -> str:
    """A title inside a longer one: without its capital, unless it is an abbreviation."""
    return title if title.startswith('GPU') else title[0].lower() + title[1:]


def in_unit(value: float, quantity: Quantity, column: Column) -> float:
    """A value of a quantity in the unit of its column."""
    return value / dict(quantity.units)[column.unit]


def choose_unit(values: Sequence[float], units: Sequence[tuple[str, float]]) -> tuple[str, float]:
    """The largest unit of which the largest value holds at least ten.

    Device times of a demo are minutes, those of a paper thousands of hours.
    """
    largest = max(values, default=0.0)
    fitting = [unit for unit in units if largest >= 10 * unit[1]]
    return fitting[-1] if fitting else units[0]
