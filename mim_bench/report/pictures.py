"""Pictures of the runs, made small enough to stand inside the page as base64."""

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from mim_bench.errors import RecordError
from mim_bench.report.board import Leaderboard, Row
from mim_bench.results.record import Picture, PictureKind, RunRecord
from mim_bench.results.store import Collection, DamagedFile

LONGEST_SIDE = 960
MOST_BYTES = 160 * 1024
MOST_PER_KIND = 4
MOST_PER_PAGE = 160
_KIND_TITLES: dict[PictureKind, str] = {
    'reconstruction': 'Reconstructions',
    'segmentation': 'Segmentations',
    'detection': 'Detections',
}
_JPEG_QUALITIES = (88, 75, 60)


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture as a data URI, with the caption that its run gave it."""

    uri: str
    width: int
    height: int
    caption: str
    run_id: str


@dataclass(frozen=True)
class PictureStrip:
    """The pictures of one row and kind; ``num_more`` of them are not on the page."""

    row: Row
    title: str
    pictures: list[EmbeddedPicture] = field(default_factory=list)
    num_more: int = 0


def picture_strips(
    board: Leaderboard, collection: Collection
) -> tuple[list[PictureStrip], list[DamagedFile]]:
    """The pictures by kind and row, and those that could not be read."""
    strips: list[PictureStrip] = []
    damaged: list[DamagedFile] = []
    wanted = {kind: _wanted(board, kind) for kind in _KIND_TITLES}
    kinds = [kind for kind in _KIND_TITLES if wanted[kind]]
    for kind in kinds:
        # Each kind has its share of the page, and the rows of a kind theirs, the best first.
        room = MOST_PER_PAGE // len(kinds)
        most = max(1, min(MOST_PER_KIND, room // len(wanted[kind])))
        for row, entries in wanted[kind][: room // most]:
            shown = entries[:most]
            embedded = [_try_embed(collection, *entry, damaged) for entry in shown]
            pictures = [picture for picture in embedded if picture is not None]
            num_more = len(entries) - len(shown)
            strips.append(PictureStrip(row, _KIND_TITLES[kind], pictures, num_more))
    return strips, damaged


def count_rows_without_room(board: Leaderboard, strips: list[PictureStrip]) -> int:
    """How many rows have pictures of which the page shows none."""
    shown = {strip.row.label for strip in strips}
    wanted = {row.label for kind in _KIND_TITLES for row, _ in _wanted(board, kind)}
    return len(wanted - shown)


def _wanted(
    board: Leaderboard, kind: PictureKind
) -> list[tuple[Row, list[tuple[RunRecord, Picture]]]]:
    """The pictures of a kind by row, in the order of the board."""
    found = []
    for row in board.rows:
        entries = [(r, p) for r in row.records for p in r.artifacts.pictures if p.kind == kind]
        if entries:
            found.append((row, entries))
    return found


def _try_embed(
    collection: Collection, record: RunRecord, picture: Picture, damaged: list[DamagedFile]
) -> EmbeddedPicture | None:
    try:
        path = collection.artifact_path(record, picture.path)
        uri, (width, height) = embed_picture(path)
    except RecordError as error:
        damaged.append(DamagedFile(f'{record.run_id}: {picture.path}', str(error)))
        return None
    return EmbeddedPicture(uri, width, height, picture.caption, record.run_id)


def embed_picture(path: Path) -> tuple[str, tuple[int, int]]:
    """A picture as a data URI of limited size, and its (width, height) in pixels.

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
    kind, data = _encode(image)
    while len(data) > MOST_BYTES:
        image = image.reduce(2)
        kind, data = _encode(image)
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}', image.size


def _encode(image: Image.Image) -> tuple[str, bytes]:
    """PNG where it is small enough, since it blurs no edge; JPEG otherwise."""
    # `optimize` makes it 3 % smaller and takes six times as long, most of the time of a report.
    data = _save(image, 'PNG', compress_level=6)
    if len(data) <= MOST_BYTES:
        return 'png', data
    for quality in _JPEG_QUALITIES:
        data = _save(image, 'JPEG', quality=quality, optimize=True)
        if len(data) <= MOST_BYTES:
            break
    return 'jpeg', data


def _save(image: Image.Image, kind: str, **options: int | bool) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
