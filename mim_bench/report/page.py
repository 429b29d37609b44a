"""The leaderboard as one HTML file that needs nothing else: no network, no other file."""

import base64
import hashlib
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mim_bench.report import tables
from mim_bench.report.board import Leaderboard, Row
from mim_bench.report.catalogue import TIER_ORDER, task_title
from mim_bench.report.charts import cost_charts, curve_charts, row_styles
from mim_bench.report.costs import task_of_cost
from mim_bench.report.pictures import count_rows_without_room, picture_strips
from mim_bench.report.published import (
    PublishedRow,
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
from mim_bench.results.store import Collection

# Rows shown at once; the page has a button for more. A browser lays out thousands for seconds.
ROWS_SHOWN = 200
PUBLISHED_SHOWN = 8
# Sizes to filter by: parameters up to so many millions, and what that is called.
_SIZES = ((15, 'up to 15 M'), (50, '15 to 50 M'), (150, '50 to 150 M'), (500, '150 to 500 M'))
_LARGEST, _UNKNOWN_SIZE = 'over 500 M', 'not known'


def render_html(
    board: Leaderboard, collection: Collection, reload_seconds: int | None = None
) -> str:
    """Render the page; the same records and files give the same text.

    Args:
        board: What :func:`~mim_bench.report.build.build_leaderboard` made of the collection.
        collection: Says where the curves and pictures lie.
        reload_seconds: How often an open page asks for itself again; never if None.
    """
    styles = row_styles(board)
    curves, damaged_curves = curve_charts(board, collection, styles)
    strips, damaged_pictures = picture_strips(board, collection)
    damaged = [*board.damaged, *damaged_curves, *damaged_pictures]
    places = {group.key: place for place, group in enumerate(board.groups)}
    # The cost columns of a task go with the task's own; the total goes with none.
    places |= {g.key: places.get(task_of_cost(g), len(places)) for g in board.costs}
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
        sections=_sections(board, collection, damaged),
        num_damaged=len(damaged),
        styles=styles,
        costs=cost_charts(board, styles),
        devices=sorted({r.cost.device for r in board.records if r.is_pretraining}),
        curves=curves,
        strips=strips,
        hidden_rows=count_rows_without_room(board, strips),
        rows_shown=ROWS_SHOWN,
        published_shown=PUBLISHED_SHOWN,
        reload_seconds=reload_seconds,
        css=_asset('style.css'),
        script=_asset('page.js'),
    )
    return text.lstrip()


def _sections(board: Leaderboard, collection: Collection, damaged: list) -> list[Section]:
    """All sections but charts and pictures, which the template puts before the protocols."""
    shared = [s for s in text_sections(board) if not s.name.endswith(('-runs', '-files'))]
    return [
        *shared[:-1],
        *class_section(board, collection),
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
        'size': [s for s in _size_names() if s in {size_of(row) for row in board.rows}],
        'folder': board.folders,
        'tier': [tier for tier in TIER_ORDER if tier in {group.tier for group in measured}],
    }
    choices = {name: {value: value for value in values} for name, values in found.items()}
    choices['task'] = {group.task: task_title(group.task) for group in measured}
    return {name: values for name, values in choices.items() if len(values) > 1}


def _size_names() -> list[str]:
    return [*(name for _, name in _SIZES), _LARGEST, _UNKNOWN_SIZE]


def size_of(row: Row) -> str:
    """Which of the sizes to filter by a row has."""
    return _size_name(row.checkpoint.params)


def _size_name(params: float | None) -> str:
    if params is None:
        return _UNKNOWN_SIZE
    return next((name for most, name in _SIZES if params <= most * 1e6), _LARGEST)


def published_params(row: PublishedRow) -> float | None:
    """Parameters as a source printed them, for example ``86M``."""
    text = row.first.params
    return float(text[:-1]) * {'M': 1e6, 'B': 1e9}[text[-1]] if text else None


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
        size_name=_size_name,
        published_params=published_params,
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
