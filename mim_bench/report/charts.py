"""The charts of the page: SVG by matplotlib that follows the page's colours and filters."""

import io
import re
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from mim_bench.errors import RecordError
from mim_bench.report import catalogue
from mim_bench.report.board import Column, Leaderboard
from mim_bench.report.text import one_line
from mim_bench.results.curves import Curve, read_curves
from mim_bench.results.record import RunRecord
from mim_bench.results.store import DamagedFile

# Lines drawn at once, and those on the page for its filters to pick from.
MOST_LINES = 24
MOST_KEPT = 120
MOST_DOTS = 300
_MOST_POINTS = 200
_MOST_NAMES = 24
_LONGEST_NAME = 26
_NUM_COLOURS = 8
_DASHES = ('-', (0, (4, 3)), (0, (1, 2)), (0, (6, 2, 1, 2)))
_SERIES_TITLES = {'loss': ('loss', 'Loss'), 'knn_top1': ('k-NN top-1', 'k-NN top-1 (%)')}
_STEP_TITLES = {'epoch': 'Epoch', 'iter': 'Iteration'}
# Stand-ins that matplotlib draws with, and the variable of the page that each becomes.
_COLOURS = {f'#0000{10 + i:02x}': f'--colour{i}' for i in range(_NUM_COLOURS)}
_RANDOM, _TEXT, _LINE, _FRAME = '#000001', '#000002', '#000003', '#000004'
_COLOURS |= {_RANDOM: '--faint', _TEXT: '--soft', _LINE: '--line', _FRAME: '--line-strong'}


@dataclass(frozen=True)
class RowStyle:
    """How a row looks in every chart; ``index`` is its place on the board."""

    name: str
    short_name: str
    colour: str
    dashes: object
    index: int

    @property
    def css(self) -> str:
        """The variable of the page that holds its colour."""
        return _COLOURS[self.colour]


@dataclass(frozen=True)
class Chart:
    """A drawn chart; ``rows`` are the places on the board of what it shows."""

    title: str
    svg: Markup
    rows: list[int]
    note: str = ''


def row_styles(board: Leaderboard) -> dict[str, RowStyle]:
    """Styles by the label of the row.

    Colours repeat after eight rows, with other dashes; random weights are grey and dashed, since
    they are what the others are held against.
    """
    names = Counter(f'{row.method} · {row.checkpoint.backbone}' for row in board.rows)
    methods = Counter(row.method for row in board.rows)
    places = {row.label: index for index, row in enumerate(board.rows)}
    styles, counts = {}, Counter()
    # Not in the order of the ranking, so that one more result does not recolour the rest.
    for row in sorted(board.rows, key=lambda row: row.label):
        name = f'{row.method} · {row.checkpoint.backbone}'
        short = row.method if methods[row.method] == 1 else name
        name = name if names[name] == 1 else row.label
        number = counts[row.is_random]
        counts[row.is_random] += 1
        if row.is_random:
            look = _RANDOM, _DASHES[number % (len(_DASHES) - 1) + 1]
        else:
            look = list(_COLOURS)[number % _NUM_COLOURS], _DASHES[number // _NUM_COLOURS % 4]
        styles[row.label] = RowStyle(one_line(name), one_line(short), *look, places[row.label])
    return styles


def curve_charts(
    board: Leaderboard, styles: dict[str, RowStyle]
) -> tuple[list[Chart], list[DamagedFile]]:
    """One chart for each kind of curve, and the curve files that could not be read.

    Losses share a chart only under one protocol: two pre-training methods minimise different
    things, so the heights of their losses must not be compared by eye. Of runs of one task and
    protocol the first are read, as many as a chart keeps.
    """
    panels: dict[tuple, list[tuple[RowStyle, Curve]]] = defaultdict(list)
    first: dict[tuple, RunRecord] = {}
    counts: Counter[tuple] = Counter()
    damaged = []
    for row in board.rows:
        for record in row.records:
            kind = (record.task, record.protocol)
            counts[kind] += record.artifacts.curves is not None
            if record.artifacts.curves is None or counts[kind] > MOST_KEPT:
                continue
            try:
                curves = read_curves(
                    board.collection.artifact_path(record, record.artifacts.curves)
                )
            except RecordError as error:
                damaged.append(DamagedFile(f'{record.run_id}: curves', str(error)))
                continue
            for curve in curves:
                if curve.points:
                    key = _panel_key(record, curve)
                    first.setdefault(key, record)
                    panels[key].append((styles[row.label], curve))
    charts = []
    for key in sorted(panels):
        kind = (first[key].task, first[key].protocol)
        unread = max(0, counts[kind] - MOST_KEPT)
        charts.append(_line_chart(first[key], panels[key], unread))
    return charts, damaged


def _panel_key(record: RunRecord, curve: Curve) -> tuple:
    """Sorts as the page shows: probes of pre-training, its losses, then the tasks."""
    shares_scale = record.is_pretraining and curve.series != 'loss'
    return (
        not record.is_pretraining,
        not shares_scale,
        catalogue.task_rank(record.task),
        curve.series,
        curve.step_unit,
        catalogue.TIER_ORDER.index(record.protocol.tier),
        '' if shares_scale else record.protocol.hash,
    )


def _line_chart(
    record: RunRecord, curves: Sequence[tuple[RowStyle, Curve]], num_unread: int
) -> Chart:
    """The curves that share one chart, of which ``record`` has the first."""
    first = curves[0][1]
    series, y_title = _SERIES_TITLES.get(first.series, (first.series, first.series))
    title = f'{series} during pre-training'
    if not record.is_pretraining:
        title = f'{catalogue.task_title(record.task)} {series}'
    elif series == 'loss':
        title = f'Pre-training loss of {catalogue.method_title(record.checkpoint.method)}'
    num_lines = len(curves) + num_unread
    note = ''
    if num_lines > MOST_LINES:
        note = f'{MOST_LINES} of {num_lines:,} lines, the best rows first; filters pick others'
    if num_lines > MOST_KEPT:
        note += f' of the first {MOST_KEPT}'
    x_title, kept = _STEP_TITLES[first.step_unit], curves[:MOST_KEPT]
    axes, tips = _axes(x_title, y_title), {}
    for number, (style, curve) in enumerate(kept):
        xs, ys = zip(*thin(curve.points), strict=True)
        gid = f'row-{style.index}-{number}'
        axes.plot(xs, ys, color=style.colour, linestyle=style.dashes, gid=gid)
        # A mark at the end says what the line came to.
        axes.plot(xs[-1:], ys[-1:], 'o', color=style.colour, markersize=3, gid=f'{gid}-end')
        tips[gid] = tips[f'{gid}-end'] = f'{style.name}\n{x_title} {xs[-1]:g}: {ys[-1]:.4g}'
    rows = [style.index for style, _ in kept]
    hidden = set(rows) - set(list(dict.fromkeys(rows))[:MOST_LINES])
    svg = _svg(axes, f'{title}: {y_title} over {x_title}', tips, hidden, MOST_LINES)
    return Chart(title, svg, rows, note)


def thin(points: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """At most some 200 points, evenly picked, the last one always among them."""
    stride = -(-len(points) // _MOST_POINTS)
    picked = list(points[::stride])
    return picked if (len(points) - 1) % stride == 0 else [*picked, points[-1]]


def cost_charts(board: Leaderboard, styles: dict[str, RowStyle]) -> list[Chart]:
    """Every headline metric against the device time of pre-training.

    Rows of random weights are levels: they cost nothing, and show what pre-training adds.
    """
    hours = next((c for c in board.columns if c.metric == 'device_hours'), None)
    columns = [column for column in board.columns if column.is_contest and hours is not None]
    charts = (_cost_chart(board, styles, column, hours) for column in columns)
    return [chart for chart in charts if chart is not None]


def _cost_chart(
    board: Leaderboard, styles: dict[str, RowStyle], column: Column, hours: Column
) -> Chart | None:
    levels, dots, runs = [], [], []
    for row in board.rows:
        value, cost = row.cell(column).value, row.cell(hours).value
        if value is not None and row.is_random:
            levels.append((styles[row.label], value))
        elif value is not None and cost is not None:
            dots.append((styles[row.label], cost, value))
            runs += row.cell(hours).runs
    if not dots:
        return None
    note = f'{MOST_DOTS:,} of {len(dots):,} rows, the best first' if len(dots) > MOST_DOTS else ''
    dots = dots[:MOST_DOTS]
    title = f'{column.title} · {column.qualifier}' if column.qualifier else column.title
    title += '' if column.higher_is_better else ' (lower is better)'
    # Hours of a CPU are no GPU hours.
    what = 'GPU' if all(run.cost.gpu_hours for run in runs) else 'device'
    x_title = f'Pre-training {what} time ({hours.unit})'
    y_title = f'{column.short_title} ({column.unit})' if column.unit else column.short_title
    axes, tips = _axes(x_title, y_title), {}
    for style, value in levels:
        gid = f'row-{style.index}-level'
        axes.axhline(value, color=style.colour, linestyle=style.dashes, linewidth=1.1, gid=gid)
        tips[gid] = f'{style.name}\n{y_title} {value:.4g}'
    costs, values = [cost for _, cost, _ in dots], [value for _, _, value in dots]
    axes.set_xlim(0, 1.08 * max(costs) or 1)
    front = pareto_front(costs, [column.sign * value for value in values])
    if len(dots) > 1:
        xs, ys = [costs[i] for i in front], [values[i] for i in front]
        xs, ys = [*xs, axes.get_xlim()[1]], [*ys, ys[-1]]
        axes.step(xs, ys, where='post', color=_FRAME, linewidth=1.2, gid='front', zorder=1)
        tips['front'] = 'Pareto front'
    for place, (style, cost, value) in enumerate(dots):
        gid = f'row-{style.index}-dot'
        # Those that cost next to nothing lie on the edge, where half of them would be cut off.
        axes.plot([cost], [value], 'o', color=style.colour, markersize=6, clip_on=False, gid=gid)
        on_front = '\non the Pareto front' if place in front and len(dots) > 1 else ''
        tips[gid] = f'{style.name}\n{x_title} {cost:.4g}\n{y_title} {value:.4g}{on_front}'
    _name_dots(axes, [dots[i] for i in dict.fromkeys([*front, *range(len(dots))])])
    label = f'{title}: {y_title} over {x_title}'
    rows = [style.index for style, *_ in [*levels, *dots]]
    return Chart(title, _svg(axes, label, tips), rows, note)


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Which points are on the Pareto front, as indices from the cheapest to the dearest.

    A point is on it unless another one costs no more and is worth no less, and is better in one of
    the two. Equal points are all on it, or none.
    """
    front: list[int] = []
    for index in sorted(range(len(costs)), key=lambda i: (costs[i], -values[i])):
        point, last = (costs[index], values[index]), front[-1] if front else None
        if last is None or values[index] > values[last] or point == (costs[last], values[last]):
            front.append(index)
    return front


def _axes(x_title: str, y_title: str) -> Axes:
    figure = Figure(figsize=(4.2, 2.7))
    figure.subplots_adjust(left=0.13, right=0.98, bottom=0.16, top=0.97)
    axes = figure.add_subplot()
    axes.set_xlabel(one_line(x_title), color=_TEXT, parse_math=False)
    axes.set_ylabel(one_line(y_title), color=_TEXT, parse_math=False)
    axes.tick_params(color=_FRAME, labelcolor=_TEXT, labelsize=9, length=0)
    axes.grid(axis='y', color=_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right', 'left']].set_visible(False)
    axes.spines['bottom'].set_color(_FRAME)
    axes.margins(y=0.08)
    axes.patch.set_visible(False)
    return axes


def _name_dots(axes: Axes, dots: Sequence[tuple[RowStyle, float, float]]) -> None:
    """Names beside dots as long as there is room, to the first ones first."""
    axes.get_ylim()  # settles the scales
    renderer = FigureCanvasAgg(axes.figure).get_renderer()
    places = axes.transData.transform([(cost, value) for _, cost, value in dots])
    taken, frame = [], axes.get_window_extent(renderer)
    for place, (style, cost, value) in enumerate(dots[:_MOST_NAMES]):
        name = style.short_name
        name = name if len(name) <= _LONGEST_NAME else f'{name[: _LONGEST_NAME - 1]}…'
        for side, shift in (('left', 7), ('right', -7)):
            text = axes.annotate(
                name, (cost, value), (shift, 0), textcoords='offset points', ha=side, va='center',
                fontsize=9, color=_TEXT, parse_math=False, gid=f'row-{style.index}-name',
            )  # fmt: skip
            box = text.get_window_extent(renderer)
            covers = any(box.contains(*at) for i, at in enumerate(places) if i != place)
            is_inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 + 4
            if is_inside and not covers and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()


_ATTRIBUTES = re.compile(r' style="([^"]*)"')
_NUMBER = re.compile(r'\d+\.\d{2,}')
_KEPT_STYLES = {
    'fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'stroke-dashoffset', 'stroke-linecap',
    'stroke-linejoin', 'text-anchor', 'font-size', 'opacity',
}  # fmt: skip


def _svg(
    axes: Axes,
    label: str,
    tips: dict[str, str],
    hidden: set[int] = frozenset(),
    most_rows: int | None = None,
) -> Markup:
    """The drawing as an SVG element for a page whose policy forbids inline styles.

    Args:
        axes: What was drawn.
        label: Says what the chart shows, for who does not see it.
        tips: Texts that show when the pointer rests on the artists with these ids.
        hidden: Rows that wait for the filters.
        most_rows: How many rows the page draws at once.
    """
    out = io.StringIO()
    settings = {'svg.fonttype': 'none', 'svg.hashsalt': label, 'font.size': 9.5}
    with rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # letters that its font lacks; the page has its own fonts
        axes.figure.patch.set_visible(False)
        FigureCanvasSVG(axes.figure).print_svg(out, metadata={'Date': None})
    text = out.getvalue()
    view = re.search(r'viewBox="([^"]*)"', text)[1]
    body = re.sub(r'<metadata>.*?</metadata>|<style.*?</style>', '', text, flags=re.DOTALL)
    body = body[body.index('>', body.index('<svg ')) + 1 : body.rindex('</svg>')]
    body = _ATTRIBUTES.sub(_as_attributes, body)
    body = re.sub('<[^>]+>', lambda tag: _NUMBER.sub(lambda n: f'{float(n[0]):.1f}', tag[0]), body)
    body = ' '.join(body.split()).replace('xlink:href', 'href')
    # Ids of several charts on one page must differ.
    prefix = f'c{zlib.crc32(text.encode()):x}-'
    body = re.sub(r'(?<=href="#)|(?<=url\(#)', prefix, body)
    for name, tip in tips.items():
        body = body.replace(f'<g id="{name}">', f'<g id="{name}"><title>{escape(tip)}</title>')

    def identify(found: re.Match[str]) -> str:
        name = found[1]
        if name.startswith('row-'):
            row = int(name.split('-')[1])
            return f' class="mark" data-row="{row}"{" hidden" if row in hidden else ""}'
        if name in tips:
            return f' class="{name}"'
        return f' id="{prefix}{name}"' if f'#{prefix}{name}' in body else ''

    body = re.sub(r' id="([^"]*)"', identify, body)
    most = f' data-most="{most_rows}"' if most_rows else ''
    head = f'<svg viewBox="{view}" role="img"{most} aria-label="{escape(one_line(label))}">'
    return Markup(f'{head}{body}</svg>')  # noqa: S704 - texts are escaped by matplotlib and above


def _as_attributes(found: re.Match[str]) -> str:
    """A style as attributes, with the colours of the page."""
    parts = [part.partition(':') for part in found[1].split(';')]
    pairs = {name.strip(): value.strip() for name, _, value in parts}
    if 'font' in pairs:
        size = re.search(r'[\d.]+px', pairs['font'])
        pairs |= {'font-size': size[0]} if size else {}
    kept = {name: value for name, value in pairs.items() if name in _KEPT_STYLES}
    return ''.join(
        f' {name}="{f"var({_COLOURS[value]})" if value in _COLOURS else value}"'
        for name, value in kept.items()
    )
