"""The charts of the page: loss and probe curves of the runs, and accuracy against cost."""

from collections import Counter
from dataclasses import dataclass, field

from mim_bench.errors import RecordError
from mim_bench.report import catalogue
from mim_bench.report.charts import Chart, Series, line_chart, scatter_chart
from mim_bench.report.leaderboard import Column, Leaderboard
from mim_bench.report.styles import RowStyle
from mim_bench.results.curves import Curve, read_curves
from mim_bench.results.record import RunRecord
from mim_bench.results.store import Collection, DamagedFile

# Drawn at once, and on the page for its filters to pick from.
_MOST_LINES = 24
_MOST_KEPT = 120
_MOST_DOTS = 400
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
    num_unread: int = 0


class _Panels:
    """The charts in the making; of the runs of one task and protocol the first are read."""

    def __init__(self, collection: Collection) -> None:
        self.panels: dict[tuple, _Panel] = {}
        self._collection = collection
        self._num_runs: Counter[tuple] = Counter()
        self._keys: dict[tuple, set[tuple]] = {}

    def add(self, record: RunRecord, style: RowStyle) -> None:
        """Draw the curves of a run, if it has any.

        Raises:
            RecordError: Its file cannot be read.
        """
        if record.artifacts.curves is None:
            return
        kind = (record.task, record.protocol)
        self._num_runs[kind] += 1
        keys = self._keys.setdefault(kind, set())
        if self._num_runs[kind] > _MOST_KEPT:
            # It has what the others of its kind have.
            for key in keys:
                self.panels[key].num_unread += 1
            return
        path = self._collection.artifact_path(record, record.artifacts.curves)
        for curve in read_curves(path):
            if curve.points:
                key = _panel_key(record, curve)
                keys.add(key)
                panel = self.panels.setdefault(key, _panel(record, curve))
                panel.series.append(Series(style.name, style.css, curve.points, style.index))


def curve_charts(
    board: Leaderboard, collection: Collection, styles: dict[str, RowStyle]
) -> tuple[list[Chart], list[DamagedFile]]:
    """One chart for each kind of curve, and the curve files that could not be read.

    Losses share a chart only under one protocol: two pre-training methods minimise
    different things, so the heights of their losses must not be compared by eye. Of runs of one
    task and protocol the first are read, as many as a chart keeps.
    """
    made = _Panels(collection)
    damaged = []
    for row in board.rows:
        for record in row.records:
            try:
                made.add(record, styles[row.label])
            except RecordError as error:
                damaged.append(DamagedFile(f'{record.run_id}: curves', str(error)))
    return [_draw(made.panels[key]) for key in sorted(made.panels)], damaged


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
    num_lines = len(panel.series) + panel.num_unread
    note = ''
    if num_lines > _MOST_LINES:
        note = f'{_MOST_LINES} of {num_lines:,} lines, the best rows first; filters pick others'
    if num_lines > _MOST_KEPT:
        note += f' of the first {_MOST_KEPT}'
    return line_chart(
        panel.title,
        _STEP_TITLES[panel.step_unit],
        _SERIES_UNITS.get(panel.series_name, panel.series_name),
        panel.series[:_MOST_KEPT],
        note,
        _MOST_LINES,
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
    dots, levels, runs = [], [], []
    for row in board.rows:
        value, cost = row.cell(column).value, row.cell(hours).value
        style = styles[row.label]
        if value is not None and row.is_random:
            levels.append(Series(style.name, style.css, [(0.0, value)], style.index))
        elif value is not None and cost is not None:
            dots.append(Series(style.short_name, style.css, [(cost, value)], style.index))
            runs += row.cell(hours).runs
    if not dots:
        return None
    title = f'{column.title} · {column.qualifier}' if column.qualifier else column.title
    if not column.higher_is_better:
        title += ' (lower is better)'
    y_title = f'{column.short_title} ({column.unit})' if column.unit else column.short_title
    # Hours of a CPU are no GPU hours.
    what = 'GPU' if runs and all(run.cost.gpu_hours for run in runs) else 'device'
    note = f'{_MOST_DOTS:,} of {len(dots):,} rows, the best first' if len(dots) > _MOST_DOTS else ''
    return scatter_chart(
        title,
        f'Pre-training {what} time ({hours.unit})',
        y_title,
        dots[:_MOST_DOTS],
        levels,
        higher_is_better=column.higher_is_better,
        note=note,
    )
