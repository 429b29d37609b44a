"""Looking at many files: listing, decoding, comparing labels with a rule."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from mim_bench.data.archives import is_file
from mim_bench.data.checks.options import CheckOptions
from mim_bench.data.checks.report import Kind, Problem
from mim_bench.data.image_file import UPRIGHT, check_turn, read_label_map, read_stored
from mim_bench.data.listing import IMAGE_ENDINGS, list_files
from mim_bench.data.processes import mapped
from mim_bench.errors import DataError, first_of

_VALUES_NAMED = 5

T = TypeVar('T')
R = TypeVar('R')


@dataclass(frozen=True)
class LabelRule:
    """What a label map may look like.

    Attributes:
        highest: Labels 0..highest are allowed.
        ignored: One more label that is allowed, or None.
        backend: What the loaders decode it with: ``'pillow'`` or ``'cv2'``.
    """

    highest: int
    ignored: int | None = None
    backend: str = 'pillow'


def list_images(folder: Path, *, endings: tuple[str, ...] = IMAGE_ENDINGS) -> list[Path]:
    """Images under a folder as the loaders list them, sorted; none if it is not there."""
    return [folder / name for name in list_files(folder, endings).files]


def check_count(where: str, found: int, wanted: int | None) -> list[Problem]:
    """A problem if nothing is there, or another number than wanted."""
    if found == 0:
        return [Problem(where, Kind.EMPTY, 'holds no image')]
    if wanted is not None and found != wanted:
        return [Problem(where, Kind.COUNT, f'holds {found:,} images, expected {wanted:,}')]
    return []


def absent(
    where: str,
    wanted: Iterable[str],
    found: Iterable[str],
    message: str,
    kind: Kind = Kind.MISSING,
) -> list[Problem]:
    """A problem for each name that is wanted below ``where`` and not found, sorted."""
    return [Problem(f'{where}/{name}', kind, message) for name in sorted({*wanted} - {*found})]


def check_photo(
    path: Path, name: str, *, size: tuple[int, int] | None = None, is_annotated: bool = True
) -> list[Problem]:
    """Decode a photograph as the loaders do.

    Args:
        path: Path of the file.
        name: For the problem.
        size: (height, width) that its annotation counts in, if that is known.
        is_annotated: Whether it has an annotation that counts in pixels, so that EXIF matters.
    """
    try:
        pixels, tag = read_stored(path)
    except DataError as error:
        return [refused(error, path, name)]
    try:
        if is_annotated:
            check_turn(path, tag, pixels.shape[:2], size)
    except DataError as error:
        kind = Kind.SIZE if tag == UPRIGHT else Kind.ORIENTATION
        return [Problem(name, kind, _without_path(error, path))]
    return []


def check_labelled_photo(root: Path, path: Path) -> list[Problem]:
    """Decode a photograph that has a class label only, below the root of its data set."""
    return check_photo(path, path.relative_to(root).as_posix(), is_annotated=False)


def check_label_map(
    path: Path, name: str, rule: LabelRule
) -> tuple[tuple[int, int] | None, list[int], list[Problem]]:
    """Decode a label map as the loaders do, and compare its labels with a rule.

    Returns:
        Its (height, width), None if it is no label map; its labels, sorted; and the problems.
    """
    try:
        labels = read_label_map(path, rule.backend)
    except DataError as error:
        return None, [], [refused(error, path, name)]
    found = np.unique(labels).tolist()
    wrong = [value for value in found if value > rule.highest and value != rule.ignored]
    if not wrong:
        return labels.shape, found, []
    named = first_of(wrong, _VALUES_NAMED)
    also = '' if rule.ignored is None else f' and {rule.ignored}'
    message = f'holds the label {named}; allowed are 0..{rule.highest}{also}'
    return labels.shape, found, [Problem(name, Kind.LABEL, message)]


def refused(error: DataError, path: Path, name: str) -> Problem:
    """The problem of a file that a loader refuses with an error."""
    kind = Kind.UNREADABLE if is_file(path) else Kind.MISSING
    return Problem(name, kind, _without_path(error, path))


def _without_path(error: DataError, path: Path) -> str:
    return str(error).removeprefix(f'{path}: ')


def inspect_all(
    inspect: Callable[[T], R], items: Sequence[T], options: CheckOptions
) -> Iterator[R]:
    """Apply a function to many files as :func:`mapped` does, and report progress."""
    for done, result in enumerate(mapped(inspect, items, options.workers), start=1):
        yield result
        if options.progress is not None:
            options.progress(done, len(items))
