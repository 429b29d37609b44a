"""Reads paths below folders, uncompressed zip or tar files, and parquet files alike.

A path may go on behind the archive's name: ``data/imagenet.zip/train/n01440764/a.JPEG``, or below
a folder that parquet files stand for (:mod:`mim_bench.data.parquet`). What reads data asks the
functions here, and mmengine's file backend of plain paths does, too.
"""

import io
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mmengine.fileio import LocalBackend, register_backend
from mmengine.fileio.io import backend_instances

from mim_bench.data.containers import Archive, Container
from mim_bench.data.parquet import ParquetSplit, parquet_files
from mim_bench.errors import DataError
from mim_bench.files.atomic import whole_file

ENDINGS = ('.zip', '.tar')
_SPLIT = re.compile(r'/(train|val)(?=/|$)')


class Place(NamedTuple):
    """A path inside of an archive, or of a folder that parquet files stand for.

    Attributes:
        archive: Path of the archive or the folder.
        name: Inside of it, without a slash at either end; empty for its top.
    """

    archive: str
    name: str


def place_of(path: str | Path) -> Place | None:
    """Where a path lies in an archive or in parquet files; None for one of the file system."""
    text = os.fspath(path)
    for match in _SPLIT.finditer(text):
        if parquet_files(text[: match.start()], match[1]):
            return Place(text[: match.end()], text[match.end() :].strip('/'))
    for ending in ENDINGS:
        start = 0
        while (end := text.find(ending, start)) >= 0:
            end += len(ending)
            if text[end : end + 1] in ('', '/') and _is_file(text[:end]):
                return Place(text[:end], text[end:].strip('/'))
            start = end
    return None


def read_file(path: str | Path) -> bytes:
    """The content of a file, in an archive or not.

    Raises:
        OSError: It is not there or cannot be read.
    """
    place = place_of(path)
    if place is None:
        with open(path, 'rb', buffering=0) as file:
            return file.readall()
    return _opened(place.archive).read(place.name)


def read_text(path: str | Path) -> str:
    """The content of a text file in UTF-8, with or without a byte-order mark.

    Raises:
        OSError: It is not there or cannot be read.
        DataError: It has another encoding.
    """
    try:
        return read_file(path).decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise DataError(
            f'{path}: is no text in UTF-8 (byte {error.start}). Save it in this encoding.'
        ) from error


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there; an archive is one."""
    place = place_of(path)
    if place is None:
        return os.path.isdir(path)
    return not place.name or _opened(place.archive).has_folder(place.name)


def is_file(path: str | Path) -> bool:
    """Whether a file is there, in an archive or not."""
    place = place_of(path)
    if place is None:
        return os.path.isfile(path)
    return _opened(place.archive).find(place.name) is not None


def file_facts(path: str | Path) -> tuple[int, int]:
    """Bytes of a file, and when it or its archive was changed, in ns.

    Raises:
        OSError: It is not there.
    """
    place = place_of(path)
    if place is None:
        facts = os.stat(path)
        return facts.st_size, facts.st_mtime_ns
    container = _opened(place.archive)
    return container.size_of(place.name), container.changed_ns


def names_below(place: Place) -> list[str]:
    """Names of all files below a place, counted from it, sorted."""
    return _opened(place.archive).below(place.name)


def folders_in(place: Place) -> list[str]:
    """Names of the folders in a place, in the order that numbers classes."""
    return _opened(place.archive).folders_in(place.name)


@lru_cache(maxsize=4096)
def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


@lru_cache(maxsize=8)
def _opened(path: str) -> Container:
    return Archive(path) if path.endswith(ENDINGS) else ParquetSplit(path)


class ArchiveBackend(LocalBackend):
    """mmengine's backend of plain paths, which goes on into archives."""

    def get(self, filepath: str | Path) -> bytes:
        """The content of a file."""
        return read_file(filepath)

    def get_text(self, filepath: str | Path, encoding: str = 'utf-8') -> str:
        """The content of a text file."""
        # A list that was saved with a byte-order mark is no other list.
        return read_file(filepath).decode('utf-8-sig' if encoding == 'utf-8' else encoding)

    def exists(self, filepath: str | Path) -> bool:
        """Whether a file or folder is there."""
        return is_file(filepath) or is_folder(filepath)


register_backend('local', ArchiveBackend, force=True, prefixes='')
backend_instances.clear()  # one may have been made before


def pack(
    folder: Path,
    archive: Path,
    names: Sequence[str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write files of a folder into an uncompressed zip or tar, in the given order.

    The same files give the same bytes.

    Args:
        folder: Names count from it.
        archive: A new file, ``.zip`` or ``.tar``; it gets its name when it is whole.
        names: Names of the files.
        progress: Told how many files are done, and of how many.

    Returns:
        How many files it holds.

    Raises:
        DataError: There are no files, one cannot be read or has a name that archives do not hold;
            the archive is there already, has another ending or cannot be written.
    """
    if archive.suffix not in ENDINGS:
        raise DataError(f'{archive}: must end in .zip or .tar. Choose another name.')
    if archive.exists():
        raise DataError(f'{archive}: exists already. Choose another name, or remove it.')
    if not names:
        raise DataError(f'{folder}: holds no file. Name the folder of a data set.')
    for name in names if archive.suffix == '.zip' else ():
        if os.fsencode(name) != name.encode(errors='replace'):
            raise DataError(
                f'{folder}: the name {os.fsencode(name)!r} is no UTF-8, which a zip cannot hold. '
                'Rename the file, or pack into a tar.'
            )
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(archive) as temporary, _writer(temporary, archive.suffix) as add:
            for number, name in enumerate(names, start=1):
                add(name, _content(folder / name))
                progress(number, len(names))
    except OSError as error:
        raise DataError(
            f'{archive}: cannot be written ({error.strerror or error}). Free some space or choose '
            'another folder.'
        ) from error
    _opened(str(archive))  # keeps its index
    return len(names)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f'{path}: cannot be read ({error.strerror or error}). Remove or replace it.'
        ) from error


@contextmanager
def _writer(path: Path, ending: str) -> Iterator[Callable[[str, bytes], None]]:
    if ending == '.zip':
        with zipfile.ZipFile(path, 'x', zipfile.ZIP_STORED) as file:
            yield lambda name, content: file.writestr(zipfile.ZipInfo(name), content)
        return
    with tarfile.open(path, 'x:') as file:

        def add(name: str, content: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))

        yield add
