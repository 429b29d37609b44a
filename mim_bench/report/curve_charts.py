"""The charts of the page: loss and probe curves of the runs, and accuracy against cost."""

from dataclasses import dataclass, field

from mim_bench.errors import RecordError
from mim_bench.report import catalogue
from mim_bench.report.charts import Chart, Series, line_chart, scatter_chart
from mim_bench.report.leaderboard import Column, Leaderboard
from mim_bench.report.styles import RowStyle
from mim_bench.results.curves import Curve, read_curves
from mim_bench.results.record import RunRecord
from mim_bench.results.store import Collection, DamagedFile

_MOST_LINES = 24
_SERIES_TITLES = {'loss': 'loss', 'knn_top1': 'k-NN top-1'}
_STEP_TITLES = {'epoch': 'Epoch', 'iter': 'Iteration'}
_SERIES_UNITS = {'loss': 'Loss', 'knn_top1': 'k-NN top-1 (%)'}


@dataclass
class _Panel:
    """The curves that share one chart."""

    title: str
    step_unit: str
    series_name: str
    series: list[Series] = field(default_factory=list)


def curve_charts(
    board: Leaderboard, collection: Collection, styles: dict[str, RowStyle]
) -> tuple[list[Chart], list[DamagedFile]]:
    """One chart for each kind of curve, and the curve files that could not be read.

    Losses share a chart only under one protocol: two pre-training methods minimise
    different things, so the heights of their losses must not be compared by eye.
    """
    panels: dict[tuple, _Panel] = {}
    damaged = []
    for row in board.rows:
        for record in row.records:
            try:
                curves = _curves_of(record, collection)
            except RecordError as error:
                damaged.append(DamagedFile(f'{record.run_id}: curves', str(error)))
                continue
            for curve in curves:
                if curve.points:
                    panel = panels.setdefault(_panel_key(record, curve), _panel(record, curve))
                    style = styles[row.label]
                    panel.series.append(Series(style.name, style.css, curve.points))
    return [_draw(panels[key]) for key in sorted(panels)], damaged


def _curves_of(record: RunRecord, collection: Collection) -> list[Curve]:
    relative = record.artifacts.curves
    if relative is None:
        return []
    return read_curves(collection.artifact_path(record, relative))


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


def _panel(record: RunRecord, curve: Curve) -> _Panel:
    series = _SERIES_TITLES.get(curve.series, curve.series)
    if not record.is_pretraining:
        title = f'{catalogue.task_title(record.task)} {series}'
    elif curve.series == 'loss':
        title = f'Pre-training loss of {catalogue.method_title(record.checkpoint.method)}'
    else:
        title = f'{series} during pre-training'
    return _Panel(title, curve.step_unit, curve.series)


def _draw(panel: _Panel) -> Chart:
    num_hidden = max(0, len(panel.series) - _MOST_LINES)
    note = f'{num_hidden:,} more not drawn' if num_hidden else ''
    return line_chart(
        panel.title,
        _STEP_TITLES[panel.step_unit],
        _SERIES_UNITS.get(panel.series_name, panel.series_name),
        panel.series[:_MOST_LINES],
        note,
    )


def cost_charts(board: Leaderboard, styles: dict[str, RowStyle]) -> list[Chart]:
    """Every headline metric against the device time of pre-training.

    Rows of random weights are levels: they cost nothing, and show what pre-training adds.
    """
    hours = next((c for c in board.columns if c.metric == 'device_hours'), None)
    if hours is None:
        return []
    charts = []
    for group in board.groups_of(headline=True):
        for column in group.columns:
            chart = _cost_chart(board, styles, column, hours) if column.is_ranked else None
            if chart is not None:
                charts.append(chart)
    return charts


def _cost_chart(
    board: Leaderboard, styles: dict[str, RowStyle], column: Column, hours: Column
) -> Chart | None:
    dots, levels = [], []
    for row in board.rows:
        value, cost = row.cell(column).value, row.cell(hours).value
        style = styles[row.label]
        if value is not None and row.is_random:
            levels.append(Series(style.name, style.css, [(0.0, value)]))
        elif value is not None and cost is not None:
            dots.append(Series(style.short_name, style.css, [(cost, value)]))
    if not dots:
        return None
    title = f'{column.title} · {column.qualifier}' if column.qualifier else column.title
    if not column.higher_is_better:
        title += ' (lower is better)'
    y_title = f'{column.short_title} ({column.unit})' if column.unit else column.short_title
    return scatter_chart(title, f'Pre-training device time ({hours.unit})', y_title, dots, levels)
