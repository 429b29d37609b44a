"""Lists the files of a data set: links are followed, hidden files and folders left out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

IMAGE_ENDINGS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')
# Folders that programs leave behind and that hold no data, as those whose name begins with a dot.
_LEFT_BEHIND = ('__MACOSX', '@eaDir', 'lost+found')


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
    if os.path.isdir(folder):
        _walk(str(folder), '', tuple(endings), listing, (os.path.realpath(folder),))
    for names in (listing.files, listing.hidden, listing.others):
        names.sort()
    return listing


def class_folders(folder: str | Path) -> list[str]:
    """Names of the class folders in a folder, sorted: the place of each is its number."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not is_hidden(e.name))


def is_hidden(name: str) -> bool:
    """Whether a file or folder is left out by its name."""
    return name.startswith('.') or name in _LEFT_BEHIND


def _walk(
    folder: str, below: str, endings: tuple[str, ...], listing: Listing, above: tuple[str, ...]
) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = below + entry.name
            if is_hidden(entry.name):
                listing.hidden.append(path)
            elif entry.is_dir():
                real = os.path.realpath(entry.path) if entry.is_symlink() else None
                if real not in above:  # a link to a folder above it would have no end
                    inner = (*above, real or os.path.realpath(entry.path))
                    _walk(entry.path, f'{path}/', endings, listing, inner)
            elif entry.name.lower().endswith(endings):
                listing.files.append(path)
            else:
                listing.others.append(path)
