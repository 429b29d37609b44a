"""Pictures of the runs, made small enough to stand inside the page as base64."""

import base64
import io
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mim_bench.errors import RecordError
from mim_bench.report.board import Leaderboard, Row
from mim_bench.results.store import DamagedFile

LONGEST_SIDE = 960
MOST_BYTES = 160 * 1024
MOST_PER_KIND = 4
MOST_PER_PAGE = 160
_KIND_TITLES = {
    'reconstruction': 'Reconstructions',
    'segmentation': 'Segmentations',
    'detection': 'Detections',
}


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture as a data URI, with the caption that its run gave it."""

    uri: str
    width: int
    height: int
    caption: str


@dataclass(frozen=True)
class PictureStrip:
    """The pictures of one row and kind; ``num_more`` of them are not on the page."""

    row: Row
    title: str
    pictures: list[EmbeddedPicture]
    num_more: int


def picture_strips(board: Leaderboard) -> tuple[list[PictureStrip], int, list[DamagedFile]]:
    """The pictures by kind and row, how many rows have none of theirs shown, and damaged files."""
    wanted = defaultdict(list)
    for kind in _KIND_TITLES:
        for row in board.rows:
            entries = [(r, p) for r in row.records for p in r.artifacts.pictures if p.kind == kind]
            if entries:
                wanted[kind].append((row, entries))
    strips, damaged = [], []
    for kind, rows in wanted.items():
        # Each kind has its share of the page, and the rows of a kind theirs, the best first.
        room = MOST_PER_PAGE // len(wanted)
        most = max(1, min(MOST_PER_KIND, room // len(rows)))
        for row, entries in rows[: room // most]:
            pictures = []
            for record, picture in entries[:most]:
                try:
                    path = board.collection.artifact_path(record, picture.path)
                    uri, size = embed_picture(path)
                    pictures.append(EmbeddedPicture(uri, *size, picture.caption))
                except RecordError as error:
                    damaged.append(DamagedFile(f'{record.run_id}: {picture.path}', str(error)))
            num_more = max(0, len(entries) - most)
            strips.append(PictureStrip(row, _KIND_TITLES[kind], pictures, num_more))
    labels = {row.label for rows in wanted.values() for row, _ in rows}
    return strips, len(labels - {strip.row.label for strip in strips}), damaged


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
    # `optimize` makes PNG 3 % smaller and takes six times as long, most of the time of a report.
    forms = [('png', {'compress_level': 6})]
    forms += [('jpeg', {'quality': quality, 'optimize': True}) for quality in (88, 75, 60)]
    for kind, options in forms:
        out = io.BytesIO()
        image.save(out, kind, **options)
        if out.tell() <= MOST_BYTES:
            break
    return kind, out.getvalue()
