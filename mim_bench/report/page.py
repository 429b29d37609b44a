"""The leaderboard as one HTML file that needs nothing else: no network, no other file."""

import base64
import hashlib
import math
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mim_bench.report import tables
from mim_bench.report.board import Leaderboard
from mim_bench.report.catalogue import TIER_ORDER, task_title
from mim_bench.report.charts import cost_charts, curve_charts, row_styles
from mim_bench.report.pictures import picture_strips
from mim_bench.report.published import (
    measured_as,
    pretrained_for,
    published_rows,
    published_value,
)
from mim_bench.report.sections import (
    Section,
    class_section,
    environment_section,
    problem_sections,
    run_section,
    text_sections,
)
from mim_bench.report.text import one_line

# Rows shown at once; the page has a button for more. A browser lays out thousands for seconds.
ROWS_SHOWN = 200
PUBLISHED_SHOWN = 8
# Sizes to filter by, and the most parameters of each.
_SIZES = {
    'up to 15 M': 15e6, '15 to 50 M': 50e6, '50 to 150 M': 150e6, '150 to 500 M': 500e6,
    'over 500 M': math.inf, 'not known': math.nan,
}  # fmt: skip


def render_html(board: Leaderboard, reload_seconds: int | None = None) -> str:
    """Render the page; the same records and files give the same text.

    An open page asks for itself again after ``reload_seconds``; never if None.
    """
    styles = row_styles(board)
    curves, damaged_curves = curve_charts(board, styles)
    strips, hidden_rows, damaged_pictures = picture_strips(board)
    damaged = [*board.damaged, *damaged_curves, *damaged_pictures]
    places = {group.key: place for place, group in enumerate(board.groups)}
    # The cost columns of a task go with the task's own; the total goes with none.
    places |= {g.key: places.get(g.key.removeprefix('cost.'), len(places)) for g in board.costs}
    failed = {id(record): number for number, record in enumerate(board.failed, 1)}
    template = _environment().get_template('leaderboard.html.j2')
    text = template.render(
        board=board,
        results=tables.results_table(board),
        further=tables.results_table(board, headline=False),
        published=published_rows(board),
        filters=_filters(board),
        places=places,
        groups_of_rows=_groups_of_rows(board, places),
        failed=failed,
        failed_number=lambda run: failed[id(run)],
        sections=_sections(board, damaged),
        num_damaged=len(damaged),
        styles=styles,
        costs=cost_charts(board, styles),
        devices=sorted({r.cost.device for r in board.records if r.is_pretraining}),
        curves=curves,
        strips=strips,
        hidden_rows=hidden_rows,
        rows_shown=ROWS_SHOWN,
        published_shown=PUBLISHED_SHOWN,
        reload_seconds=reload_seconds,
        css=_asset('style.css'),
        script=_asset('page.js'),
    )
    return text.lstrip()


def _sections(board: Leaderboard, damaged: list) -> list[Section]:
    """All sections but charts and pictures, which the template puts before the protocols."""
    shared = [s for s in text_sections(board) if not s.name.endswith(('-runs', '-files'))]
    return [
        *shared[:-1],
        *class_section(board),
        shared[-1],
        *problem_sections(board, damaged),
        run_section(board),
        environment_section(board),
    ]


def _filters(board: Leaderboard) -> dict[str, dict[str, str]]:
    """What can be chosen, by the name of the filter: value -> text; one choice alone is none."""
    measured = [group for group in board.groups if group.protocol is not None]
    found = {
        'method': sorted({row.method for row in board.rows}, key=str.lower),
        'backbone': sorted({row.checkpoint.backbone for row in board.rows}),
        'size': [s for s in _SIZES if s in {size_of(r.checkpoint.params) for r in board.rows}],
        'folder': board.folders,
        'tier': [tier for tier in TIER_ORDER if tier in {group.tier for group in measured}],
    }
    choices = {name: {value: value for value in values} for name, values in found.items()}
    choices['task'] = {group.task: task_title(group.task) for group in measured}
    return {name: values for name, values in choices.items() if len(values) > 1}


def size_of(params: float | None) -> str:
    """Which of the sizes to filter by a number of parameters is."""
    if params is None:
        return 'not known'
    return next(name for name, most in _SIZES.items() if params <= most)


def _groups_of_rows(board: Leaderboard, places: dict[str, int]) -> list[str]:
    """For each row the places of the groups in which it has anything."""
    place_of = {c.key: places[group.key] for group in board.groups for c in group.columns}
    return [
        ' '.join(map(str, sorted({place_of[key] for key in row.cells if key in place_of})))
        for row in board.rows
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader('mim_bench.report'),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(one_line=one_line, csp_hash=_csp_hash)
    environment.globals.update(
        tables=tables,
        size_of=size_of,
        measured_as=measured_as,
        pretrained_for=pretrained_for,
        published_value=published_value,
    )
    return environment


@cache
def _asset(name: str) -> Markup:
    """A style sheet or script of this package, which is trusted and so not escaped."""
    environment = _environment()
    return Markup(environment.loader.get_source(environment, name)[0])  # noqa: S704 - our own file


def _csp_hash(text: Markup) -> str:
    """What the page's security policy names, so that it runs this script and no other."""
    digest = hashlib.sha256(str(text).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
