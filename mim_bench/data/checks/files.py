"""Looking at many files: listing, decoding, and doing so in several processes."""

import io
import multiprocessing
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from mim_bench.data.archives import is_file, read_file
from mim_bench.data.checks.options import CheckOptions
from mim_bench.data.checks.report import Kind, Problem
from mim_bench.data.image_file import check_turn, read_stored, reason_of, turn
from mim_bench.data.listing import IMAGE_ENDINGS, list_files
from mim_bench.errors import DataError

_CHUNK = 32  # files that a process takes at a time
_VALUES_NAMED = 5

T = TypeVar('T')


@dataclass(frozen=True)
class LabelRule:
    """What a label map may look like.

    Attributes:
        highest: Labels 0..highest are allowed.
        ignored: One more label that is allowed, or None.
        modes: Pillow's modes that the loaders read as labels.
    """

    highest: int
    ignored: int | None = None
    modes: tuple[str, ...] = ('L', 'P', 'I;16', 'I')


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


def read_image(path: Path, name: str) -> tuple[Image.Image | None, list[Problem]]:
    """Decode a file to its last byte.

    Returns:
        The image and no problem, or None and the problem.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # odd EXIF is no reason to shout
            with Image.open(io.BytesIO(read_file(path))) as image:
                image.load()
    except FileNotFoundError:
        return None, [Problem(name, Kind.MISSING, 'is not there')]
    # Pillow's decoders answer damage with nearly any exception there is.
    except Exception as error:
        reason = reason_of(error)
        return None, [Problem(name, Kind.UNREADABLE, f'does not decode: {reason}')]
    return image, []


def read_photo(
    path: Path, name: str, *, size: tuple[int, int] | None = None, is_annotated: bool = True
) -> tuple[tuple[int, int] | None, list[Problem]]:
    """Decode a photograph as the loaders do.

    Args:
        path: Of the file.
        name: For the problem.
        size: (width, height) of its annotation.
        is_annotated: Whether it has an annotation that counts in pixels, so that EXIF matters.

    Returns:
        Its (width, height) as a loader gives it, None if it does not decode, and the problems.
    """
    try:
        pixels, tag = read_stored(path)
    except DataError as error:
        kind = Kind.UNREADABLE if is_file(path) else Kind.MISSING
        return None, [Problem(name, kind, _without_path(error, path))]
    stored = pixels.shape[:2]
    problems = []
    if is_annotated and tag != 1:
        try:
            check_turn(path, tag, stored, size and size[::-1])
        except DataError as error:
            problems.append(Problem(name, Kind.ORIENTATION, _without_path(error, path)))
    height, width = turn(pixels, tag).shape[:2] if is_annotated else stored
    return (width, height), problems


def _without_path(error: DataError, path: Path) -> str:
    return str(error).removeprefix(f'{path}: ')


def check_label_map(image: Image.Image, name: str, rule: LabelRule) -> list[Problem]:
    """Problems with the mode or the labels of a decoded label map."""
    if image.mode not in rule.modes:
        allowed = ' or '.join(rule.modes)
        message = f'has mode {image.mode}, expected {allowed}: its pixels are not labels'
        return [Problem(name, Kind.MODE, message)]
    values = np.unique(np.asarray(image))
    wrong = [int(v) for v in values if v > rule.highest and v != rule.ignored]
    if not wrong:
        return []
    named = ', '.join(map(str, wrong[:_VALUES_NAMED])) + (', …' * (len(wrong) > _VALUES_NAMED))
    also = '' if rule.ignored is None else f' and {rule.ignored}'
    message = f'holds the label {named}; allowed are 0..{rule.highest}{also}'
    return [Problem(name, Kind.LABEL, message)]


def inspect_all(
    inspect: Callable[[T], list[Problem]], items: Sequence[T], options: CheckOptions
) -> Iterator[Problem]:
    """Apply a function to many files, in order, and report progress.

    Args:
        inspect: Of a module, not nested, as it goes to other processes.
        items: What it takes, one a file.
        options: Processes and progress.

    Raises:
        DataError: A process was killed.
    """
    for done, problems in enumerate(_map(inspect, items, options.workers), start=1):
        yield from problems
        if options.progress is not None:
            options.progress(done, len(items))


def _map(
    inspect: Callable[[T], list[Problem]], items: Sequence[T], workers: int
) -> Iterator[list[Problem]]:
    if workers <= 1:
        yield from map(inspect, items)
        return
    context = multiprocessing.get_context('spawn')
    try:
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            yield from pool.map(inspect, items, chunksize=_CHUNK)
    except BrokenProcessPool as error:
        raise DataError(
            'A process that decoded images was killed, perhaps for want of memory. '
            'Run again with fewer --workers.'
        ) from error
