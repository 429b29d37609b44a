"""Lists the files of a data set: links are followed, hidden files and folders left out."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mim_bench.data import archives
from mim_bench.data.kept_list import kept_lines, kept_stamp, list_places

IMAGE_ENDINGS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')
# Folders that programs leave behind and that hold no data, as those whose name begins with a dot.
_LEFT_BEHIND = ('__MACOSX', '@eaDir', 'lost+found')
# A walk that finds fewer files is not worth a kept list.
KEPT_FROM = 20_000
_KIND = 'files'


@dataclass
class Listing:
    """What lies below a folder; paths count from it, sorted.

    Attributes:
        files: Files with one of the endings.
        hidden: Files and folders that are left out: their names begin with a dot, or a program
            left them behind (``__MACOSX``).
        others: Files with other endings.
    """

    files: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def list_files(folder: str | Path, endings: Sequence[str] = IMAGE_ENDINGS) -> Listing:
    """List the files below a folder, links to folders followed.

    Args:
        folder: Where to look; nothing is found where it is not there.
        endings: In small letters; a name counts whatever its capitals.
    """
    listing = Listing()
    if (place := archives.place_of(folder)) is not None:
        _sort(archives.names_below(place), tuple(endings), listing)
    elif os.path.isdir(folder):
        _sort(_walked(Path(folder)), tuple(endings), listing)
    for names in (listing.files, listing.hidden, listing.others):
        names.sort()
    return listing


def class_folders(folder: str | Path) -> list[str]:
    """Names of the class folders in a folder; the place of each is its number.

    They are sorted, those of parquet files stand in the order of their ``ClassLabel``.
    """
    if (place := archives.place_of(folder)) is not None:
        return [name for name in archives.folders_in(place) if not is_hidden(name)]
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not is_hidden(e.name))


def list_entry(line: str) -> tuple[str, int] | None:
    """Path and label on a line of a list of images; None where they are not there."""
    path, _, label = line.strip().rpartition(' ')
    return (path, int(label)) if path and label.isdecimal() else None


def classes_of_list(entries: Iterable[tuple[str, int | None]]) -> tuple[str, ...] | None:
    """Class folders by number, where every image of a list lies in a folder of its class alone.

    Args:
        entries: Path below the folder of class folders, and label.
    """
    numbers: dict[str, int | None] = {}
    for path, label in entries:
        name, slash, _ = path.partition('/')
        if not slash or label is None or numbers.setdefault(name, label) != label:
            return None
    ordered = sorted(numbers, key=numbers.get)
    is_whole = [numbers[name] for name in ordered] == list(range(len(ordered)))
    return tuple(ordered) if is_whole else None


def image_endings(files: Iterable[str]) -> list[str]:
    """The endings of files in small letters, each once, sorted."""
    return sorted({Path(file).suffix.lower() for file in files})


def is_hidden(name: str) -> bool:
    """Whether a file or folder is left out by its name."""
    return name.startswith('.') or name in _LEFT_BEHIND


# A hidden part anywhere in a path, found at once: a data set has a million of them.
_HIDDEN = re.compile(rf'(?:^|/)(?:\.|(?:{"|".join(map(re.escape, _LEFT_BEHIND))})(?:/|$))')


def _sort(names: Sequence[str], endings: tuple[str, ...], listing: Listing) -> None:
    """Put names of files, hidden ones among them, where they belong."""
    hidden = set()
    for name in names:
        if _HIDDEN.search(name):
            parts = name.split('/')
            first = next(i for i, part in enumerate(parts) if is_hidden(part))
            hidden.add('/'.join(parts[: first + 1]))
        elif name.lower().endswith(endings):
            listing.files.append(name)
        else:
            listing.others.append(name)
    listing.hidden += sorted(hidden)


def _walked(folder: Path) -> list[str]:
    """Names of all files below a folder, and of what is hidden; a long list is kept.

    A kept list holds while the folders below have the times of change that it knows.
    """
    for path in list_places(folder, _KIND):
        stamp = kept_stamp(path)
        if stamp and stamp == _times(folder, [line.partition(' ')[2] for line in stamp]):
            return kept_lines(folder, _KIND, stamp, lambda: _walk(folder)[0])
    names, folders = _walk(folder)
    if len(names) >= KEPT_FROM:
        kept_lines(folder, _KIND, _times(folder, folders), lambda: names)
    return names


def _times(folder: Path, below: Sequence[str]) -> list[str]:
    """A line for each folder: when it was changed, in ns, and its name."""
    try:
        return [f'{os.stat(folder / name).st_mtime_ns} {name}' for name in below]
    except OSError:
        return []


def _walk(folder: Path) -> tuple[list[str], list[str]]:
    """Files and what is hidden below a folder; and all folders that are not, itself as ''."""
    names: list[str] = []
    folders = ['']
    _walk_into(str(folder), '', (names, folders), (os.path.realpath(folder),))
    return names, folders


def _walk_into(
    folder: str, below: str, found: tuple[list[str], list[str]], above: tuple[str, ...]
) -> None:
    names, folders = found
    with os.scandir(folder) as entries:
        for entry in entries:
            path = below + entry.name
            if is_hidden(entry.name) or not entry.is_dir():
                names.append(path)
                continue
            real = os.path.realpath(entry.path) if entry.is_symlink() else None
            if real not in above:  # a link to a folder above it would have no end
                folders.append(path)
                inner = (*above, real or os.path.realpath(entry.path))
                _walk_into(entry.path, f'{path}/', found, inner)
