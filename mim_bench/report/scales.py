"""Axes of charts: round tick values that cover the data, and positions on the drawing."""

import math
from dataclasses import dataclass

_NICE_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """Maps values from ``low`` to ``high`` onto drawing units from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    ticks: list[tuple[float, str]]

    def place(self, value: float) -> float:
        """The position of a value, to a tenth of a unit so that pages stay small."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def make_scale(
    values: list[float], start: float, end: float, *, with_zero: bool = False, num_ticks: int = 5
) -> Scale:
    """A scale with round ends that covers all values.

    Args:
        values: At least one finite number.
        start: Drawing position of the low end.
        end: Drawing position of the high end.
        with_zero: Whether the axis must begin at zero, for amounts such as hours.
        num_ticks: About how many ticks there should be.
    """
    low, high = min(values), max(values)
    if with_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        # One value, or several that are the same: give it room on both sides.
        room = abs(high) * 0.1 or 1.0
        low, high = (low if with_zero else low - room), high + room
    step = _nice_step((high - low) / num_ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step, decimals) != step:
        # A step of 2.5 needs one more digit than one of 2.
        decimals += 1
    ticks = [(index * step, _label(index * step, decimals)) for index in range(first, last + 1)]
    scale = Scale(first * step, last * step, start, end, [])
    scale.ticks.extend((scale.place(value), label) for value, label in ticks)
    return scale


def _nice_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in _NICE_STEPS if step * power >= rough * (1 - 1e-9))


def _label(value: float, decimals: int) -> str:
    if abs(value) >= 1e6:
        return f'{value:.3g}'
    text = f'{value:,.{decimals}f}'
    return '0' if float(text.replace(',', '')) == 0 else text
