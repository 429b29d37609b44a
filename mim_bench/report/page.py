"""The leaderboard as one HTML file that needs nothing else: no network, no other file."""

import base64
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from mim_bench.errors import RecordError
from mim_bench.report import tables
from mim_bench.report.board import FACTS, RANK, Cell, Column, ColumnGroup, Fact, Leaderboard, Row
from mim_bench.report.catalogue import TIER_ORDER, task_title
from mim_bench.report.charts import cost_charts, curve_charts, row_styles
from mim_bench.report.published import published_rows
from mim_bench.report.text import one_line
from mim_bench.results.store import FEATURES_FOLDER, DamagedFile

# Rows shown at once; the page has a button for more. A browser lays out thousands for seconds.
ROWS_SHOWN = 200
PUBLISHED_SHOWN = 8
# Sizes to filter by, and the most parameters of each.
_SIZES = {
    'up to 15 M': 15e6, '15 to 50 M': 50e6, '50 to 150 M': 150e6, '150 to 500 M': 500e6,
    'over 500 M': math.inf, 'not known': math.nan,
}  # fmt: skip

# Of an embedded picture in pixels; its bytes; and how many a row, and how many rows, of one kind.
LONGEST_SIDE = 960
MOST_BYTES = 160 * 1024
MOST_PER_ROW = 4
MOST_ROWS = 24
_KIND_TITLES = {
    'reconstruction': 'Reconstructions',
    'segmentation': 'Segmentations',
    'detection': 'Detections',
}


def render_html(board: Leaderboard, reload_seconds: int | None = None) -> str:
    """Render the page; the same records and files give the same text.

    An open page asks for itself again after ``reload_seconds``; never if None.
    """
    styles = row_styles(board)
    curves, damaged_curves = curve_charts(board, styles)
    strips, damaged_pictures = picture_strips(board)
    damaged = [*board.damaged, *damaged_curves, *damaged_pictures]
    places = {group.key: place for place, group in enumerate(board.groups)}
    # The cost columns of a task go with the task's own; the total goes with none.
    places |= {g.key: places.get(g.key.removeprefix('cost.'), len(places)) for g in board.costs}
    failed = {id(record): number for number, record in enumerate(board.failed, 1)}
    shared = [s for s in tables.sections(board) if not s.name.endswith(('-runs', '-files'))]
    sections = [
        *shared[:-1],
        *tables.class_section(board),
        shared[-1],
        *tables.problem_sections(board, damaged),
        tables.run_section(board),
        tables.environment_section(board),
    ]
    text = _environment().get_template('leaderboard.html.j2').render(
        board=board,
        published=published_rows(board),
        filters=_filters(board),
        places=places,
        groups_of_rows=_groups_of_rows(board, places),
        failed=failed,
        failed_number=lambda run: failed[id(run)],
        sections=sections,
        num_damaged=len(damaged),
        styles=styles,
        costs=cost_charts(board, styles),
        devices=sorted({r.cost.device for r in board.records if r.is_pretraining}),
        curves=curves,
        strips=strips,
        strip_rows=MOST_ROWS,
        pairs_of=lambda groups, is_full: _pairs(board, groups, places, is_full=is_full),
        rows_shown=ROWS_SHOWN,
        published_shown=PUBLISHED_SHOWN,
        reload_seconds=reload_seconds,
        css=_asset('style.css'),
        script=_asset('page.js'),
    )  # fmt: skip
    return text.lstrip()


def _pairs(
    board: Leaderboard,
    groups: Sequence[tuple[ColumnGroup, Sequence[Column]]],
    places: Mapping[str, int],
    *,
    is_full: bool,
) -> list[tuple[Fact | Column, ColumnGroup | None, str]]:
    """The columns of a table behind the names, with their groups, if any, and CSS classes."""
    facts = [
        (fact, None, 'number rank' if fact is RANK else f'{"number " * fact.is_number}gf fact')
        for fact in (board.facts if is_full else [])
    ]
    measured = [
        (column, group, f'number g{places[group.key]}{"" if number else " first"}')
        for group, columns in groups
        for number, column in enumerate(columns)
    ]
    return facts + measured


def _runs_of(cell: Cell) -> str:
    """The first runs behind a number, and how many there are more."""
    texts = [
        f'run {run.run_id}, seed {run.seed}, {run.started_at[:10]}, {run.cost.device}'
        for run in cell.runs[:3]
    ]
    more = len(cell.runs) - 3
    return one_line('; '.join([*texts, *([tables.plural(more, 'more run')] if more > 0 else [])]))


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


@dataclass(frozen=True)
class PictureStrip:
    """Pictures of one row and kind as (address, (width, height), caption), and how many more."""

    row: Row
    title: str
    pictures: list[tuple[str, tuple[int, int], str]]
    num_more: int


def picture_strips(board: Leaderboard) -> tuple[list[PictureStrip], list[DamagedFile]]:
    """The pictures by kind and row, of so many rows of a kind, the best first; damaged files."""
    strips, damaged = [], []
    for kind, title in _KIND_TITLES.items():
        entries = [
            (row, [(r, p) for r in row.records for p in r.artifacts.pictures if p.kind == kind])
            for row in board.rows
        ]
        for row, found in [entry for entry in entries if entry[1]][:MOST_ROWS]:
            pictures = []
            for record, picture in found[:MOST_PER_ROW]:
                try:
                    path = board.collection.artifact_path(record, picture.path)
                    pictures.append((*embed_picture(path), picture.caption))
                except RecordError as error:
                    damaged.append(DamagedFile(f'{record.run_id}: {picture.path}', str(error)))
            num_more = max(0, len(found) - MOST_PER_ROW)
            strips.append(PictureStrip(row, title, pictures, num_more))
    features = [(row, board.collection.features.get((row.group, row.name))) for row in board.rows]
    for row, path in [entry for entry in features if entry[1]][:MOST_ROWS]:
        try:
            picture = (*embed_picture(path), 'first three principal components')
            strips.append(PictureStrip(row, 'Patch features', [picture], 0))
        except RecordError as error:
            damaged.append(DamagedFile(f'{FEATURES_FOLDER}/{path.name}', str(error)))
    return strips, damaged


def embed_picture(path: Path) -> tuple[str, tuple[int, int]]:
    """A picture as a data URI, and its (width, height): PNG where it is small, else JPEG.

    Raises:
        RecordError: The file is missing or no picture.
    """
    try:
        with Image.open(path) as source:
            image = source.convert('RGB')
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RecordError(
            f'{path.name}: no picture that can be read ({error}). Run again to draw it.'
        ) from error
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    for kind, options in (('png', {}), ('jpeg', {'quality': 80, 'optimize': True})):
        out = io.BytesIO()
        image.save(out, kind, **options)
        if out.tell() <= MOST_BYTES:
            break
    return f'data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}', image.size


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
        kinds=tables.KINDS,
        rank=RANK,
        facts=FACTS,
        size_of=size_of,
        runs_of=_runs_of,
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
