"""Data sets in one file: an uncompressed zip or tar that is read like a folder.

A path may go on behind the archive's name: ``data/imagenet.zip/train/n01440764/a.JPEG``. What reads
data asks the functions here, and mmengine's file backend of plain paths does, too. Reading is by
position (``pread``), so that processes which were forked share an open file without a lock.
"""

import io
import os
import stat
import struct
import tarfile
import zipfile
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mmengine.fileio import LocalBackend, register_backend
from mmengine.fileio.io import backend_instances

from mim_bench.data.kept_list import kept_lines
from mim_bench.errors import DataError

ENDINGS = ('.zip', '.tar')
_LOCAL_HEADER = struct.Struct('<4s22xHH')  # of zip: signature, lengths of the name and extra
_ZIP_EXTRA_BYTES = 1024  # more than any archiver writes; the rest is read in a second call


class Place(NamedTuple):
    """A path inside of an archive.

    Attributes:
        archive: Path of the archive.
        name: Inside of it, without a slash at either end; empty for its top.
    """

    archive: str
    name: str


def place_of(path: str | Path) -> Place | None:
    """Where a path lies in an archive; None for a path of the file system."""
    text = os.fspath(path)
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
        return Path(path).read_bytes()
    return _opened(place.archive).read(place.name)


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
    facts = os.stat(path if place is None else place.archive)
    if place is None:
        return facts.st_size, facts.st_mtime_ns
    return _opened(place.archive).size_of(place.name), facts.st_mtime_ns


def names_below(place: Place) -> list[str]:
    """Names of all files below a place, counted from it, sorted."""
    return _opened(place.archive).below(place.name)


class _Archive:
    """An open archive and the places of its files.

    Args:
        path: Of a zip or a tar; changed files need a new object.

    Raises:
        DataError: It is damaged or compressed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.is_zip = path.endswith('.zip')
        facts = os.stat(path)
        stamp = [f'{facts.st_size} {facts.st_mtime_ns}']
        make = _zip_lines if self.is_zip else _tar_lines
        lines = kept_lines(Path(path), 'index', stamp, lambda: make(path))
        # Sorted by name; the numbers stay text until they are asked for.
        self.names, self.places = [], []
        for line in lines:
            place, _, name = line.partition('\t')
            self.names.append(name)
            self.places.append(place)
        self.file = os.open(path, os.O_RDONLY)

    def find(self, name: str) -> int | None:
        """The number of a file; None if there is no such file."""
        number = bisect_left(self.names, name)
        return number if self.names[number : number + 1] == [name] else None

    def has_folder(self, name: str) -> bool:
        """Whether a file lies below a name."""
        number = bisect_left(self.names, f'{name}/')
        return number < len(self.names) and self.names[number].startswith(f'{name}/')

    def below(self, name: str) -> list[str]:
        """Files below a folder, counted from it."""
        start = f'{name}/' if name else ''
        first = bisect_left(self.names, start)
        last = bisect_left(self.names, f'{name}0') if name else len(self.names)  # '0' is after '/'
        return [found[len(start) :] for found in self.names[first:last]]

    def size_of(self, name: str) -> int:
        """Bytes of a file."""
        return self._place(name)[1]

    def read(self, name: str) -> bytes:
        """The content of a file."""
        offset, size = self._place(name)
        if not self.is_zip:
            return self._read_at(offset, size)
        content = self._read_at(offset, _LOCAL_HEADER.size + len(name.encode()) + size)
        _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(content)
        start = _LOCAL_HEADER.size + name_bytes + extra_bytes
        if len(content) >= start + size:
            return content[start : start + size]
        return self._read_at(offset + start, size)

    def _place(self, name: str) -> tuple[int, int]:
        number = self.find(name)
        if number is None:
            raise FileNotFoundError(2, 'No such file in the archive', f'{self.path}/{name}')
        offset, size = self.places[number].split()
        return int(offset), int(size)

    def _read_at(self, offset: int, size: int) -> bytes:
        content = os.pread(self.file, size, offset)
        while len(content) < size:  # a signal, or more than a call may read
            more = os.pread(self.file, size - len(content), offset + len(content))
            if not more:
                break
            content += more
        return content


@lru_cache(maxsize=4096)
def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


@lru_cache(maxsize=8)
def _opened(path: str) -> _Archive:
    return _Archive(path)


def _zip_lines(path: str) -> list[str]:
    """Offset of the local header, bytes and name of each file."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f'{path}: is no whole zip file: {error}.') from error
    packed = next((info for info in files if info.compress_type != zipfile.ZIP_STORED), None)
    if packed is not None:
        raise DataError(
            f'{path}: {packed.filename} is compressed in it, so it cannot be read at random. Pack '
            'the folder with `mim-bench data pack`, or with `zip -0`.'
        )
    return _sorted_lines((f.filename, f.header_offset, f.file_size) for f in files)


def _tar_lines(path: str) -> list[str]:
    try:
        with tarfile.open(path, 'r:') as archive:
            files = [(m.name, m.offset_data, m.size) for m in archive if m.isfile()]
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f'{path}: is no whole uncompressed tar file: {error}. Pack the folder with '
            '`mim-bench data pack`.'
        ) from error
    return _sorted_lines(files)


def _sorted_lines(files: Iterable[tuple[str, int, int]]) -> list[str]:
    rows = sorted((name.removeprefix('./'), offset, size) for name, offset, size in files)
    return [f'{offset} {size}\t{name}' for name, offset, size in rows]


class ArchiveBackend(LocalBackend):
    """mmengine's backend of plain paths, which goes on into archives."""

    def get(self, filepath: str | Path) -> bytes:
        """The content of a file."""
        return read_file(filepath)

    def get_text(self, filepath: str | Path, encoding: str = 'utf-8') -> str:
        """The content of a text file."""
        return read_file(filepath).decode(encoding)

    def exists(self, filepath: str | Path) -> bool:
        """Whether a file or folder is there."""
        return is_file(filepath) or is_folder(filepath)

    def isdir(self, filepath: str | Path) -> bool:
        """Whether a folder is there."""
        return is_folder(filepath)

    def isfile(self, filepath: str | Path) -> bool:
        """Whether a file is there."""
        return is_file(filepath)

    def list_dir_or_file(
        self,
        dir_path: str | Path,
        list_dir: bool = True,
        list_file: bool = True,
        suffix: str | tuple[str, ...] | None = None,
        recursive: bool = False,
    ) -> Iterator[str]:
        """Names of files and folders below a folder."""
        place = place_of(dir_path)
        if place is None:
            yield from super().list_dir_or_file(dir_path, list_dir, list_file, suffix, recursive)
            return
        names = names_below(place)
        if list_dir:
            folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
            yield from sorted(f for f in folders - {'.'} if recursive or '/' not in f)
        if list_file:
            for name in names:
                if (recursive or '/' not in name) and (suffix is None or name.endswith(suffix)):
                    yield name


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
        names: Of the files.
        progress: Told how many files are done, and of how many.

    Returns:
        How many files it holds.

    Raises:
        DataError: There are no files, the archive is there already, has another ending or cannot
            be written.
    """
    if archive.suffix not in ENDINGS:
        raise DataError(f'{archive}: is neither .zip nor .tar. Name one of them.')
    if archive.exists():
        raise DataError(f'{archive}: is there already. Name another file, or remove it.')
    if not names:
        raise DataError(f'{folder}: holds no file. Name the folder of a data set.')
    temporary = archive.with_name(f'.{archive.name}.{os.getpid()}.tmp')
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with _writer(temporary, archive.suffix) as add:
            for number, name in enumerate(names, start=1):
                add(name, (folder / name).read_bytes())
                progress(number, len(names))
        os.replace(temporary, archive)
    except OSError as error:
        raise DataError(f'{archive}: cannot be written: {error.strerror or error}.') from error
    finally:
        temporary.unlink(missing_ok=True)
    _opened(str(archive))  # keeps its index
    return len(names)


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
