"""Files that lie together in one file: an index of names, and reading at random.

Reading is by position (``pread``), so that processes which were forked share an open file without
a lock. What reads data asks :mod:`mim_bench.data.archives`, which knows where a path leads.
"""

import os
import stat
import struct
import tarfile
import zipfile
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path

from mim_bench.data.kept_list import kept_lines
from mim_bench.errors import DataError

_LOCAL_HEADER = struct.Struct('<4s22xHH')  # of zip: signature, lengths of the name and extra


class Container:
    """An index of files by name.

    Args:
        path: What names inside count from.
        lines: ``place<space>bytes<tab>name`` of each file, sorted by name.
        changed_ns: When it was changed.
        folders: Folders at the top in an order of their own; sorted if None.
    """

    def __init__(
        self,
        path: str,
        lines: Sequence[str],
        changed_ns: int,
        folders: Sequence[str] | None = None,
    ) -> None:
        self.path, self.changed_ns, self._folders = path, changed_ns, folders
        # Sorted by name; the numbers stay text until they are asked for.
        self.names, self.places = [], []
        for line in lines:
            place, _, name = line.partition('\t')
            self.names.append(name)
            self.places.append(place)

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

    def folders_in(self, name: str) -> list[str]:
        """Folders in a folder, in the order that numbers classes."""
        if self._folders is not None and not name:
            return list(self._folders)
        return sorted({file.partition('/')[0] for file in self.below(name) if '/' in file})

    def size_of(self, name: str) -> int:
        """Bytes of a file."""
        return self._place(name)[1]

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: There is no such file.
        """
        raise NotImplementedError

    def _place(self, name: str) -> tuple[int, int]:
        number = self.find(name)
        if number is None:
            raise FileNotFoundError(2, 'No such file in the archive', f'{self.path}/{name}')
        place, size = self.places[number].split()
        return int(place), int(size)


class Archive(Container):
    """An open zip or tar.

    Args:
        path: Path of the file; a changed one needs a new object.

    Raises:
        DataError: It is damaged or compressed.
    """

    def __init__(self, path: str) -> None:
        self.is_zip = path.endswith('.zip')
        facts = os.stat(path)
        stamp = [f'{facts.st_size} {facts.st_mtime_ns}']
        make = _zip_lines if self.is_zip else _tar_lines
        lines = kept_lines(Path(path), 'index', stamp, lambda: make(path))
        super().__init__(path, lines, facts.st_mtime_ns)
        self.file = os.open(path, os.O_RDONLY)

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

    def _read_at(self, offset: int, size: int) -> bytes:
        content = os.pread(self.file, size, offset)
        while len(content) < size:  # a signal, or more than a call may read
            more = os.pread(self.file, size - len(content), offset + len(content))
            if not more:
                break
            content += more
        return content


def sorted_lines(files: Iterable[tuple[str, int, int]]) -> list[str]:
    """Lines of an index from (name, place, bytes)."""
    rows = sorted((name.removeprefix('./'), place, size) for name, place, size in files)
    return [f'{place} {size}\t{name}' for name, place, size in rows]


def _zip_lines(path: str) -> list[str]:
    """Offset of the local header, bytes and name of each file."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f'{path}: is not a complete zip file ({error}). Pack the folder with `mim-bench data '
            'pack`.'
        ) from error
    packed = next((info for info in files if info.compress_type != zipfile.ZIP_STORED), None)
    if packed is not None:
        raise DataError(
            f'{path}: {packed.filename} is compressed in it, so it cannot be read at random. Pack '
            'the folder with `mim-bench data pack`, or with `zip -0`.'
        )
    _refuse_links(path, [f.filename for f in files if stat.S_ISLNK(f.external_attr >> 16)])
    return sorted_lines((f.filename, f.header_offset, f.file_size) for f in files)


def _refuse_links(path: str, names: Sequence[str]) -> None:
    """Raise for files of which an archive holds only where they lay."""
    if names:
        raise DataError(
            f'{path}: {names[0]} is a link in it, not a file ({len(names)} in all). Pack the '
            'folder with `mim-bench data pack`, which packs the files that links lead to.'
        )


def _tar_lines(path: str) -> list[str]:
    try:
        with tarfile.open(path, 'r:') as archive:
            members = archive.getmembers()
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f'{path}: is not a complete, uncompressed tar file ({error}). Pack the folder with '
            '`mim-bench data pack`.'
        ) from error
    # A file of two names is stored once; its other name is a link to the first.
    places = {m.name: (m.offset_data, m.size) for m in members if m.isfile()}
    linked = {m.name: places.get(m.linkname) for m in members if m.islnk()}
    _refuse_links(path, [m.name for m in members if m.issym()])
    _refuse_links(path, [name for name, place in linked.items() if place is None])
    return sorted_lines((name, *place) for name, place in {**places, **linked}.items())
