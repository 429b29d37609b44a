"""Line charts and scatter charts as plain geometry, which a template draws as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mim_bench.report.scales import Scale, make_scale

WIDTH, HEIGHT = 400, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 388, 14, 206
# More marks than this hide the line that they sit on.
_MOST_MARKS = 30
_MOST_POINTS = 200


@dataclass(frozen=True)
class Series:
    """One line of a chart, or one mark of a scatter chart.

    ``style`` is the CSS class that gives it its colour and dashes.
    """

    name: str
    style: str
    points: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Mark:
    """A dot; ``tip`` shows when the pointer rests on it, ``label`` stands beside it."""

    x: float
    y: float
    style: str
    tip: str
    label: str = ''
    anchor: str = 'start'


@dataclass(frozen=True)
class Line:
    """A line; ``points`` is ready for the attribute of an SVG polyline."""

    points: str
    style: str
    tip: str


@dataclass(frozen=True)
class Chart:
    """A chart in drawing units, with the plot between ``left right top bottom``."""

    title: str
    x_title: str
    y_title: str
    x: Scale
    y: Scale
    lines: list[Line] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    note: str = ''
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = _RIGHT
    top: int = _TOP
    bottom: int = _BOTTOM


def line_chart(
    title: str, x_title: str, y_title: str, series: Sequence[Series], note: str = ''
) -> Chart:
    """A chart of values over steps; series without points are left out."""
    series = [one for one in series if one.points]
    x = make_scale([point[0] for one in series for point in one.points], _LEFT, _RIGHT)
    y = make_scale([point[1] for one in series for point in one.points], _BOTTOM, _TOP)
    chart = Chart(title, x_title, y_title, x, y, note=note)
    for one in series:
        points = thin(one.points)
        path = ' '.join(f'{x.place(step):g},{y.place(value):g}' for step, value in points)
        chart.lines.append(Line(path, one.style, one.name))
        # A long line gets a mark at its end only, to say what it came to.
        marked = points if len(points) <= _MOST_MARKS else points[-1:]
        for step, value in marked:
            tip = f'{one.name}\n{x_title} {step:g}: {value:.4g}'
            chart.marks.append(Mark(x.place(step), y.place(value), one.style, tip))
    return chart


def thin(points: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """At most some 200 points, evenly picked, the last one always among them."""
    stride = -(-len(points) // _MOST_POINTS)
    picked = list(points[::stride])
    if (len(points) - 1) % stride:
        picked.append(points[-1])
    return picked


def scatter_chart(
    title: str,
    x_title: str,
    y_title: str,
    dots: Sequence[Series],
    levels: Sequence[Series] = (),
) -> Chart:
    """Dots, each labelled with its name, over dashed levels that have no x of their own.

    Args:
        title: What the y axis shows.
        x_title: Title of the x axis, which begins at zero.
        y_title: Title of the y axis.
        dots: Series of one point each; at least one.
        levels: Series of one point each, of which only y counts.
    """
    x = make_scale([one.points[0][0] for one in dots], _LEFT, _RIGHT, with_zero=True)
    y = make_scale([one.points[0][1] for one in [*dots, *levels]], _BOTTOM, _TOP)
    chart = Chart(title, x_title, y_title, x, y)
    for one in levels:
        height = y.place(one.points[0][1])
        tip = f'{one.name}\n{y_title} {one.points[0][1]:.4g}'
        chart.lines.append(
            Line(f'{_LEFT},{height:g} {_RIGHT},{height:g}', f'{one.style} level', tip)
        )
    for one in dots:
        at_x, at_y = x.place(one.points[0][0]), y.place(one.points[0][1])
        tip = f'{one.name}\n{x_title} {one.points[0][0]:.4g}\n{y_title} {one.points[0][1]:.4g}'
        anchor = 'end' if at_x > (_LEFT + _RIGHT) / 2 else 'start'
        chart.marks.append(Mark(at_x, at_y, one.style, tip, one.name, anchor))
    return chart
