"""The leaderboard as one HTML file that needs nothing else: no network, no other file."""

import base64
import hashlib
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mim_bench.report import catalogue, wording
from mim_bench.report.curve_charts import cost_charts, curve_charts
from mim_bench.report.leaderboard import (
    Leaderboard,
    format_cell,
    format_heading,
    format_interval,
    format_labels,
    format_tie,
)
from mim_bench.report.page_table import cost_places, page_facts
from mim_bench.report.per_class import class_tables
from mim_bench.report.pictures import count_rows_without_room, picture_strips
from mim_bench.report.plain_text import one_line
from mim_bench.report.provenance import environment_lines, protocol_lines, run_lines
from mim_bench.report.proxy import NO_PAIRS, PROXY_NOTE, has_proxies, proxy_pairs
from mim_bench.report.published_rows import published_rows
from mim_bench.report.styles import row_styles
from mim_bench.results.store import Collection


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
    costs = cost_charts(board, styles)
    page = page_facts(board)
    failed = {record.run_id: number for number, record in enumerate(board.failed, 1)}
    return (
        _environment()
        .get_template('leaderboard.html.j2')
        .render(
            board=board,
            page=page,
            cost_places=cost_places(board, page.places),
            has_proxies=has_proxies(board),
            proxy_pairs=proxy_pairs(board),
            proxy_note=PROXY_NOTE,
            no_pairs=NO_PAIRS,
            reload_seconds=reload_seconds,
            published_rows=published_rows(board),
            styles=styles,
            curves=curves,
            curve_rows=set().union(*(chart.rows for chart in curves)),
            costs=costs,
            cost_rows=set().union(*(chart.rows for chart in costs)),
            per_class=class_tables(board, collection),
            strips=strips,
            hidden_rows=count_rows_without_room(board, strips),
            devices=sorted({r.cost.device for r in board.records if r.is_pretraining}),
            protocols=protocol_lines(board),
            runs=run_lines(board),
            environment=environment_lines(board),
            failed=failed,
            damaged=[*board.damaged, *damaged_curves, *damaged_pictures],
            css=_asset('style.css'),
            script=_asset('table.js', 'filter.js'),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader('mim_bench.report'),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        one_line=one_line,
        format_cell=format_cell,
        format_interval=format_interval,
        format_labels=format_labels,
        format_tie=format_tie,
        heading=format_heading,
        csp_hash=_csp_hash,
        method_title=catalogue.method_title,
        metric_title=lambda result: catalogue.metric_titles(result.task, result.metric)[0],
    )
    environment.globals['wording'] = wording
    return environment


@cache
def _asset(*names: str) -> Markup:
    """Style sheets or scripts of this package, which are trusted and so not escaped."""
    environment = _environment()
    sources = [environment.loader.get_source(environment, name)[0] for name in names]
    return Markup('\n'.join(sources))  # noqa: S704 - our own files, never a record's text


def _csp_hash(text: Markup) -> str:
    """What the page's security policy names, so that it runs this script and no other."""
    digest = hashlib.sha256(str(text).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
