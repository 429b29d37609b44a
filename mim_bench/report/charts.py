"""Line charts and scatter charts as plain geometry, which a template draws as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mim_bench.report.labels import Labels
from mim_bench.report.pareto import pareto_front, staircase
from mim_bench.report.scales import Scale, make_scale

WIDTH, HEIGHT = 400, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 388, 14, 206
# More marks than this hide the line that they sit on.
_MOST_MARKS = 30
_MOST_POINTS = 200
_DOT_RADIUS = 5.0


@dataclass(frozen=True)
class Series:
    """One line of a chart, or one mark of a scatter chart.

    ``style`` is the CSS class that gives it its colour and dashes; ``row`` is the place on the
    board of the row that it belongs to.
    """

    name: str
    style: str
    points: Sequence[Sequence[float]]
    row: int | None = None


@dataclass(frozen=True)
class Mark:
    """A dot; ``tip`` shows when the pointer rests on it, ``label`` stands beside it."""

    x: float
    y: float
    style: str
    tip: str
    radius: float = 2.2
    label: str = ''
    anchor: str = 'start'
    row: int | None = None
    is_hidden: bool = False


@dataclass(frozen=True)
class Line:
    """A line; ``points`` is ready for the attribute of an SVG polyline."""

    points: str
    style: str
    tip: str
    row: int | None = None
    is_hidden: bool = False


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
    # So many rows are drawn at once; the page picks among all by its filters.
    most_rows: int | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = _RIGHT
    top: int = _TOP
    bottom: int = _BOTTOM

    @property
    def rows(self) -> set[int]:
        """Places on the board of the rows that the chart holds."""
        return {one.row for one in [*self.lines, *self.marks] if one.row is not None}


def line_chart(
    title: str,
    x_title: str,
    y_title: str,
    series: Sequence[Series],
    note: str = '',
    most_drawn: int | None = None,
) -> Chart:
    """A chart of values over steps; series without points are left out.

    Args:
        title: Of the chart.
        x_title: Title of the x axis.
        y_title: Title of the y axis.
        series: The lines, the ones that matter most first.
        note: Stands behind the title.
        most_drawn: Lines beyond this many are there, but hidden; None draws all.
    """
    series = [one for one in series if one.points]
    x = make_scale([point[0] for one in series for point in one.points], _LEFT, _RIGHT)
    y = make_scale([point[1] for one in series for point in one.points], _BOTTOM, _TOP)
    chart = Chart(title, x_title, y_title, x, y, note=note, most_rows=most_drawn)
    for number, one in enumerate(series):
        is_hidden = most_drawn is not None and number >= most_drawn
        points = thin(one.points)
        path = ' '.join(f'{x.place(step):g},{y.place(value):g}' for step, value in points)
        chart.lines.append(Line(path, one.style, one.name, one.row, is_hidden))
        # A long line gets a mark at its end only, to say what it came to.
        marked = points if len(points) <= _MOST_MARKS else points[-1:]
        for step, value in marked:
            tip = f'{one.name}\n{x_title} {step:g}: {value:.4g}'
            at = (x.place(step), y.place(value))
            chart.marks.append(Mark(*at, one.style, tip, row=one.row, is_hidden=is_hidden))
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
    *,
    higher_is_better: bool = True,
    note: str = '',
) -> Chart:
    """Dots with their Pareto front, over dashed levels that have no x of their own.

    Args:
        title: What the y axis shows.
        x_title: Title of the x axis, which begins at zero and of which less is better.
        y_title: Title of the y axis.
        dots: Series of one point each; at least one.
        levels: Series of one point each, of which only y counts.
        higher_is_better: Direction of the y axis.
        note: Stands behind the title.
    """
    x = make_scale([one.points[0][0] for one in dots], _LEFT, _RIGHT, with_zero=True)
    y = make_scale([one.points[0][1] for one in [*dots, *levels]], _BOTTOM, _TOP)
    chart = Chart(title, x_title, y_title, x, y, note=note)
    for one in levels:
        height = y.place(one.points[0][1])
        tip = f'{one.name}\n{y_title} {one.points[0][1]:.4g}'
        path = f'{_LEFT},{height:g} {_RIGHT},{height:g}'
        chart.lines.append(Line(path, f'{one.style} level', tip, one.row))
    costs, values = zip(*(one.points[0] for one in dots), strict=True)
    front = pareto_front(costs, values, higher_is_better=higher_is_better)
    if len(dots) > 1:
        steps = staircase([(costs[index], values[index]) for index in front], x.high)
        path = ' '.join(f'{x.place(cost):g},{y.place(value):g}' for cost, value in steps)
        chart.lines.append(Line(path, 'front', 'Pareto front'))
    places = [(x.place(cost), y.place(value)) for cost, value in zip(costs, values, strict=True)]
    labels = Labels(places, _LEFT, WIDTH)
    # Names are given as long as there is room, to the front first.
    for index in [*front, *(i for i in range(len(dots)) if i not in set(front))]:
        one = dots[index]
        tip = f'{one.name}\n{x_title} {costs[index]:.4g}\n{y_title} {values[index]:.4g}'
        tip += '\non the Pareto front' if index in front and len(dots) > 1 else ''
        label, anchor = labels.place(index, one.name)
        chart.marks.append(
            Mark(*places[index], one.style, tip, _DOT_RADIUS, label, anchor, one.row)
        )
    return chart
