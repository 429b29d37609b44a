"""The charts of the page: SVG by matplotlib that follows the page's colours and filters."""

import io
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure

from mim_bench.errors import RecordError
from mim_bench.report import catalogue
from mim_bench.report.board import Board, Column, row_names
from mim_bench.report.text import one_line
from mim_bench.results.collection import DamagedFile
from mim_bench.results.record import Curve, RunRecord
from mim_bench.results.store import read_curves

# Lines and dots of a chart, the best rows first. The page shows fewer lines at a time, those that
# its filters pick.
MOST_LINES = 120
MOST_DOTS = 300
_MOST_POINTS = 200
_NUM_COLOURS = 8
_DASHES = ('-', (0, (4, 3)), (0, (1, 2)), (0, (6, 2, 1, 2)))
_SERIES_TITLES = {'loss': ('loss', 'Loss'), 'knn_top1': ('k-NN top-1', 'k-NN top-1 (%)')}
_STEP_TITLES = {'epoch': 'Epoch', 'iter': 'Iteration'}
# Stand-ins that matplotlib draws with, and the variable of the page that each becomes.
_COLOURS = {f'#0000{10 + i:02x}': f'var(--colour{i})' for i in range(_NUM_COLOURS)}
_RANDOM, _TEXT, _LINE, _FRAME = '#000001', '#000002', '#000003', '#000004'
_COLOURS |= {_RANDOM: 'var(--faint)', _TEXT: 'var(--soft)'}
_COLOURS |= {_LINE: 'var(--line)', _FRAME: 'var(--line-strong)'}
_LOOK = {
    'figure.figsize': (4.2, 2.7), 'font.size': 9.5, 'xtick.labelsize': 9, 'ytick.labelsize': 9,
    'axes.labelcolor': _TEXT, 'xtick.labelcolor': _TEXT, 'ytick.labelcolor': _TEXT,
    'xtick.major.size': 0, 'ytick.major.size': 0, 'axes.edgecolor': _FRAME,
    'axes.spines.top': False, 'axes.spines.right': False, 'axes.spines.left': False,
    'axes.grid': True, 'axes.grid.axis': 'y', 'grid.color': _LINE, 'axes.axisbelow': True,
    'axes.ymargin': 0.08, 'text.parse_math': False, 'lines.linewidth': 1.5,
    'svg.fonttype': 'none', 'svg.hashsalt': 'mim_bench', 'savefig.transparent': True,
}  # fmt: skip


@dataclass(frozen=True)
class RowStyle:
    """How a row looks in every chart; ``index`` is its place on the board."""

    name: str
    colour: str
    dashes: object
    index: int

    @property
    def css(self) -> str:
        """Its colour on the page."""
        return _COLOURS[self.colour]


@dataclass
class Chart:
    """A chart; an artist whose id starts with ``row-`` and a place goes with that row."""

    title: str
    rows: list[int] = field(default_factory=list)  # places on the board of what it shows
    note: str = ''
    svg: str = ''
    tips: dict[str, str] = field(default_factory=dict)  # shown at the artists with these ids

    def mark(self, style: RowStyle, text: str) -> dict[str, Any]:
        """The colour and the id of one more artist of a row, whose tip is ``text``."""
        gid = f'row-{style.index}-{len(self.rows)}'
        self.tips[gid] = f'{style.name}\n{text}'
        self.rows.append(style.index)
        return {'color': style.colour, 'gid': gid}


def row_styles(board: Board) -> dict[str, RowStyle]:
    """Styles by the label of the row.

    Colours repeat after eight rows, with other dashes; random weights are grey and dashed, since
    they are what the others are held against.
    """
    rows, names = board.rows, row_names(board.rows)
    counts, styles = Counter(), {}
    # Not in the order of the ranking, so that one more result does not recolour the rest.
    for label, row in rows.sort_index().iterrows():
        number = counts[row['is_random']]
        counts[row['is_random']] += 1
        if row['is_random']:
            look = _RANDOM, _DASHES[number % (len(_DASHES) - 1) + 1]
        else:
            look = list(_COLOURS)[number % _NUM_COLOURS], _DASHES[number // _NUM_COLOURS % 4]
        styles[label] = RowStyle(names[label], *look, rows.index.get_loc(label))
    return styles


def curve_charts(
    board: Board, styles: dict[str, RowStyle]
) -> tuple[list[Chart], list[DamagedFile]]:
    """One chart for each kind of curve, and the curve files that could not be read.

    Losses share a chart only under one protocol: two pre-training methods minimise different
    things, so the heights of their losses must not be compared by eye. Of runs of one task and
    protocol the first are read, as many as a chart keeps.
    """
    panels: dict[tuple, list[tuple[RowStyle, RunRecord, Curve]]] = defaultdict(list)
    counts: Counter[tuple] = Counter()
    damaged = []
    for label, runs in board.rows['runs'].items():
        for record in runs:
            kind = (record.task, record.protocol)
            counts[kind] += record.artifacts.curves is not None
            if record.artifacts.curves is None or counts[kind] > MOST_LINES + 1:
                continue
            try:
                path = board.collection.artifact_path(record, record.artifacts.curves)
                curves = read_curves(path)
            except RecordError as error:
                damaged.append(DamagedFile(f'{record.run_id}: curves', str(error)))
                continue
            for curve in curves:
                if curve.points:
                    panels[_panel_key(record, curve)].append((styles[label], record, curve))
    return [_line_chart(panels[key]) for key in sorted(panels)], damaged


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


def _line_chart(curves: Sequence[tuple[RowStyle, RunRecord, Curve]]) -> Chart:
    """The curves that share one chart."""
    _, record, first = curves[0]
    series, y_title = _SERIES_TITLES.get(first.series, (first.series, first.series))
    title = f'{series} during pre-training'
    if not record.is_pretraining:
        title = f'{catalogue.task_title(record.task)} {series}'
    elif series == 'loss':
        title = f'Pre-training loss of {catalogue.method_title(record.checkpoint.method)}'
    chart, x_title = Chart(title), _STEP_TITLES[first.step_unit]
    if len(curves) > MOST_LINES:
        chart.note = f'the first {MOST_LINES} lines'
    with _drawing(chart, x_title, y_title) as axes:
        for style, _, curve in curves[:MOST_LINES]:
            xs, ys = np.array(thin(curve.points)).T
            look = chart.mark(style, f'{x_title} {xs[-1]:g}: {ys[-1]:.4g}')
            # A mark at the end says what the line came to.
            end = {'marker': 'o', 'markersize': 3, 'markevery': [len(xs) - 1]}
            axes.plot(xs, ys, linestyle=style.dashes, **look, **end)
    return chart


def thin(points: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """At most 200 points, evenly picked, the first and the last one always among them."""
    places = np.linspace(0, len(points) - 1, min(len(points), _MOST_POINTS)).astype(int)
    return [points[place] for place in places]


def cost_charts(board: Board, styles: dict[str, RowStyle]) -> list[Chart]:
    """Every headline metric against the device time of pre-training.

    Rows of random weights are levels: they cost nothing, and show what pre-training adds.
    """
    charts = []
    for place, column in enumerate(board.columns):
        if (column.part, column.metric) != ('pretraining', 'device_hours'):
            continue
        # Hours of a CPU are no GPU hours.
        runs = board.cells['runs'][board.cells['column'] == place].explode()
        is_gpu = all(run.cost.gpu_hours for run in runs)
        x_title = f'Pre-training {"GPU" if is_gpu else "device"} time ({column.unit})'
        for contest in board.contests:
            other = board.columns[contest]
            dots = board.values([place, contest]) * [column.sign, other.sign]
            dots = dots.set_axis(['cost', 'value'], axis=1).dropna(subset='value')
            is_level = board.rows['is_random'][dots.index]
            if not dots['cost'].dropna().empty:
                levels, dots = dots['value'][is_level], dots.dropna()
                charts.append(_cost_chart(other, styles, x_title, levels, dots))
    return charts


def _cost_chart(
    column: Column,
    styles: dict[str, RowStyle],
    x_title: str,
    levels: pd.Series,
    dots: pd.DataFrame,
) -> Chart:
    """Values over costs, by the label of the row."""
    chart = Chart(column.name + ('' if column.higher_is_better else ' (lower is better)'))
    if len(dots) > MOST_DOTS:
        chart.note = f'{MOST_DOTS:,} of {len(dots):,} rows, the best first'
        dots = dots[:MOST_DOTS]
    y_title = column.short_title + (f' ({column.unit})' if column.unit else '')
    front = dots.iloc[pareto_front(dots['cost'], column.sign * dots['value'])]
    with _drawing(chart, x_title, y_title) as axes:
        axes.set_xlim(0, 1.08 * dots['cost'].max() or 1)
        for label, value in levels.items():
            look = chart.mark(styles[label], f'{y_title} {value:.4g}')
            axes.axhline(value, linestyle=styles[label].dashes, linewidth=1.1, **look)
        if len(dots) > 1:
            xs = [*front['cost'], axes.get_xlim()[1]]
            ys = [*front['value'], front['value'].iloc[-1]]
            axes.step(xs, ys, where='post', color=_FRAME, linewidth=1.2, gid='front', zorder=1)
            chart.tips['front'] = 'Pareto front'
        for label, cost, value in dots.itertuples():
            is_front = len(dots) > 1 and label in front.index
            text = f'{x_title} {cost:.4g}\n{y_title} {value:.4g}'
            look = chart.mark(styles[label], text + '\non the Pareto front' * is_front)
            # Those that cost next to nothing lie on the edge, where half would be cut off.
            axes.plot(cost, value, 'o', markersize=6, clip_on=False, **look)
    return chart


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Which points are on the Pareto front, as indices from the cheapest to the dearest.

    A point is on it unless another one costs no more and is worth no less, and is better in one of
    the two. Equal points are all on it, or none.
    """
    points = pd.DataFrame({'cost': list(costs), 'value': list(values)}, dtype=float)
    points = points.sort_values(['cost', 'value'], ascending=[True, False], kind='stable')
    best_so_far = points['value'].cummax().shift(fill_value=-np.inf)
    is_better = points['value'] > best_so_far
    return list(points.index[is_better.groupby([points['cost'], points['value']]).transform('any')])


@contextmanager
def _drawing(chart: Chart, x_title: str, y_title: str) -> Iterator[Any]:
    """Axes to draw on; afterwards the chart has the drawing as SVG in the colours of the page."""
    out = io.StringIO()
    with rc_context(_LOOK), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # letters that its font lacks; the page has its own fonts
        figure = Figure()
        axes = figure.add_axes((0.13, 0.16, 0.85, 0.81))
        axes.set(xlabel=one_line(x_title), ylabel=one_line(y_title))
        yield axes
        figure.savefig(out, format='svg', metadata={'Date': None})
    body = re.sub(
        r'<metadata>.*?</metadata>|<style.*?</style>', '', out.getvalue(), flags=re.DOTALL
    )
    head = re.search(r'<svg [^>]*(viewBox="[^"]*")[^>]*>', body)
    body = re.sub('<[^>]+>', lambda tag: re.sub(r'(\.\d)\d+', r'\1', tag[0]), body[head.end() :])
    body = re.sub('|'.join(_COLOURS), lambda colour: _COLOURS[colour[0]], body)
    body = re.sub(r'font: ([\d.]+px) [^;\"]*', r'font-size: \1', body)
    body = ' '.join(body.split()).replace('xlink:href', 'href')

    def identify(found: re.Match[str]) -> str:
        name = found[1]
        tip = f'<title>{escape(chart.tips[name])}</title>' if name in chart.tips else ''
        if name.startswith('row-'):
            return f'<g class="mark" data-row="{name.split("-")[1]}">{tip}'
        return f'<g class="{name}">{tip}'

    body = re.sub(r'<g id="([^"]*)">', identify, body)
    label = escape(one_line(f'{chart.title}: {y_title} over {x_title}'))
    head = f'<svg {head[1]} role="img" aria-label="{label}">'
    chart.svg = Markup(head + body)  # noqa: S704 - texts are escaped by matplotlib and above
