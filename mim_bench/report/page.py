"""The leaderboard as one HTML file that needs nothing else: no network, no other file."""

import base64
import hashlib
import io
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from mim_bench.errors import RecordError
from mim_bench.report import notes
from mim_bench.report.board import NAMES, NUMBERS, RANK, Board, fact_text
from mim_bench.report.catalogue import TIER_ORDER, task_title
from mim_bench.report.charts import cost_charts, curve_charts, row_styles
from mim_bench.report.published import published_rows
from mim_bench.report.tables import KINDS, Section, class_tables, sections
from mim_bench.report.text import one_line
from mim_bench.results.collection import FEATURES_FOLDER, DamagedFile

# Rows shown at once; the page has a button for more. A browser lays out thousands for seconds.
ROWS_SHOWN = 200
PUBLISHED_SHOWN = 8
# Sizes to filter by, and the most parameters of each in millions.
_SIZES = {
    'up to 15 M': 15, '15 to 50 M': 50, '50 to 150 M': 150, '150 to 500 M': 500,
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
    'features': 'Patch features',
}


def render_html(board: Board) -> str:
    """Render the page; the same records and files give the same text."""
    styles = row_styles(board)
    curves, damaged_curves = curve_charts(board, styles)
    strips, damaged_pictures = picture_strips(board)
    damaged = [*damaged_curves, *damaged_pictures]
    shown = sections(board, damaged)
    if by_class := list(class_tables(board)):
        at = [section.name for section in shown].index('protocols')
        shown.insert(at, Section('per-class', 'Results by class', by_class))
    groups = {column.group: column for column in board.columns[: board.costs_at]}
    # The number of each group, by which the page shows and hides its columns. The costs of a task
    # go with the task's own; the total goes with none.
    numbers = {group: number for number, group in enumerate(groups)}
    places = {
        column.group: numbers.get(column.group.removeprefix('cost.'), len(numbers))
        for column in board.columns
    }
    classes = {
        place: f'number g{places[column.group]}{" first" if place == some[0] else ""}'
        for part in (board.results(headline=True), board.results(headline=False), board.costs)
        for column, some in board.grouped(part)
        for place in some
    }
    failed = {id(record): number for number, record in enumerate(board.failed, 1)}
    return _environment().get_template('leaderboard.html.j2').render(
        board=board,
        rows=board.rows.to_dict('records'),
        cells={(cell.label, cell.column): cell for cell in board.cells.itertuples()},
        groups=groups,
        places=places,
        classes=classes,
        published=published_rows(board),
        filters=_filters(board),
        failed_number=lambda run: failed[id(run)],
        sections=shown,
        num_damaged=len(board.damaged) + len(damaged),
        styles=styles,
        costs=cost_charts(board, styles),
        devices=sorted({r.cost.device for r in board.records if r.is_pretraining}),
        curves=curves,
        strips=strips,
        css=_asset('style.css'),
        script=_asset('page.js'),
    ).lstrip()  # fmt: skip


def _runs_of(cell: Any) -> str:
    """The first runs behind a number, and how many there are more."""
    texts = [
        f'run {run.run_id}, seed {run.seed}, {run.started_at[:10]}, {run.cost.device}'
        for run in cell.runs[:3]
    ]
    if (more := len(cell.runs) - 3) > 0:
        texts.append(notes.plural(more, 'more run'))
    return one_line('; '.join(texts))


def _filters(board: Board) -> dict[str, dict[str, str]]:
    """What can be chosen, by the name of the filter: value -> text; one choice alone is none."""
    tasks = [column for column in board.columns if column.part == 'task']
    sizes, tiers = set(map(size_of, board.rows['Params (M)'])), {column.tier for column in tasks}
    found = {
        'method': sorted(set(board.rows['Method']), key=str.lower),
        'backbone': sorted(set(board.rows['Backbone'])),
        'size': [size for size in _SIZES if size in sizes],
        'folder': board.folders,
        'tier': [tier for tier in TIER_ORDER if tier in tiers],
    }
    choices = {name: {value: value for value in values} for name, values in found.items()}
    choices['task'] = {column.task: task_title(column.task) for column in tasks}
    return {name: values for name, values in choices.items() if len(values) > 1}


def size_of(millions: float) -> str:
    """Which of the sizes to filter by a number of parameters is; NaN: not known."""
    return next((name for name, most in _SIZES.items() if millions <= most), 'not known')


@dataclass(frozen=True)
class PictureStrip:
    """Pictures of one row and kind as (address, (width, height), caption), and how many more."""

    label: str
    title: str
    pictures: list[tuple[str, tuple[int, int], str]]
    num_more: int


def picture_strips(board: Board) -> tuple[list[PictureStrip], list[DamagedFile]]:
    """The pictures by kind and row, of so many rows of a kind, the best first; damaged files."""
    # Of each kind and row: what finds the file, its name in messages, the caption.
    found = {kind: defaultdict(list) for kind in _KIND_TITLES}
    for row in board.rows.itertuples():
        for run in row.runs:
            for shown in run.artifacts.pictures:
                where = f'{run.run_id}: {shown.path}'
                found[shown.kind][row.Index].append((run, shown.path, where, shown.caption))
        if path := board.collection.features.get((row.folder, row.name)):
            where, caption = f'{FEATURES_FOLDER}/{path.name}', 'first three principal components'
            found['features'][row.Index].append((None, path, where, caption))
    strips, damaged = [], []
    for kind, rows in found.items():
        for label, entries in list(rows.items())[:MOST_ROWS]:
            pictures = []
            for run, path, where, caption in entries[:MOST_PER_ROW]:
                try:
                    path = board.collection.artifact_path(run, path) if run else path
                    pictures.append((*embed_picture(path), caption))
                except RecordError as error:
                    damaged.append(DamagedFile(where, str(error)))
            num_more = max(0, len(entries) - MOST_PER_ROW)
            strips.append(PictureStrip(label, _KIND_TITLES[kind], pictures, num_more))
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
        notes=notes, kinds=KINDS, rank=RANK, names=NAMES, numbers=NUMBERS, fact_text=fact_text,
        size_of=size_of, runs_of=_runs_of, strip_rows=MOST_ROWS, rows_shown=ROWS_SHOWN,
        published_shown=PUBLISHED_SHOWN,
    )  # fmt: skip
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
