"""The leaderboard as one HTML file that needs nothing else: no network, no other file."""

import base64
import hashlib
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mim_bench.report import wording
from mim_bench.report.curve_charts import cost_charts, curve_charts
from mim_bench.report.leaderboard import Leaderboard, format_cell, format_heading
from mim_bench.report.pictures import picture_strips
from mim_bench.report.plain_text import one_line
from mim_bench.report.provenance import environment_lines, protocol_lines, run_lines
from mim_bench.report.styles import row_styles
from mim_bench.results.store import Collection


def render_html(board: Leaderboard, collection: Collection) -> str:
    """Render the page; the same records and files give the same text.

    Args:
        board: What :func:`~mim_bench.report.build.build_leaderboard` made of the collection.
        collection: Says where the curves and pictures lie.
    """
    styles = row_styles(board)
    curves, damaged_curves = curve_charts(board, collection, styles)
    strips, damaged_pictures = picture_strips(board, collection)
    failed = {record.run_id: number for number, record in enumerate(board.failed, 1)}
    return (
        _environment()
        .get_template('leaderboard.html.j2')
        .render(
            board=board,
            styles=styles,
            curves=curves,
            costs=cost_charts(board, styles),
            strips=strips,
            devices=sorted({r.cost.device for r in board.records if r.is_pretraining}),
            protocols=protocol_lines(board),
            runs=run_lines(board),
            environment=environment_lines(board),
            failed=failed,
            damaged=[*board.damaged, *damaged_curves, *damaged_pictures],
            css=_asset('style.css'),
            script=_asset('sort.js'),
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
        one_line=one_line, format_cell=format_cell, heading=format_heading, csp_hash=_csp_hash
    )
    environment.globals['wording'] = wording
    return environment


@cache
def _asset(name: str) -> Markup:
    """A style sheet or script of this package, which is trusted and so not escaped."""
    loader = _environment().loader
    source, _, _ = loader.get_source(_environment(), name)
    return Markup(source)  # noqa: S704 - our own file, never a record's text


def _csp_hash(text: Markup) -> str:
    """What the page's security policy names, so that it runs this script and no other."""
    digest = hashlib.sha256(str(text).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
