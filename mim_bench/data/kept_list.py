"""Lists of files that are made once and kept: beside the data, or in the user's cache folder.

A list says what it was made from (its stamp) and how many lines it has; one that differs in either
is made again. Of the processes of a machine one makes it, while the others wait to read it; several
machines write the same, each under its own name.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock

from mim_bench.errors import MimBenchError
from mim_bench.files.atomic import write_atomically

_VERSION = 'mim-bench list 1'


def kept_lines(
    source: Path, kind: str, stamp: Sequence[str], make: Callable[[], list[str]]
) -> list[str]:
    """The lines of a kept list, made and kept where there is none or another.

    Args:
        source: File or folder that the list is of.
        kind: Part of the list's name.
        stamp: Lines that change when the source does.
        make: Makes the lines.
    """
    places = list_places(source, kind)
    if (lines := _read_any(places, stamp)) is not None:
        return lines
    with _alone(places[-1].stem):
        if (lines := _read_any(places, stamp)) is None:
            lines = make()
            any(_write(path, stamp, lines) for path in places)
    return lines


def _read_any(places: Sequence[Path], stamp: Sequence[str]) -> list[str] | None:
    found = (_read(path, stamp) for path in places)
    return next((lines for lines in found if lines is not None), None)


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """Hold a lock of this machine, where there is a folder for it."""
    user = os.getuid() if hasattr(os, 'getuid') else 0
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, NotImplementedError):
            path = Path(tempfile.gettempdir()) / f'mim_bench-{user}-list-{name}.lock'
            stack.enter_context(FileLock(path))
        yield


def _read(path: Path, stamp: Sequence[str]) -> list[str] | None:
    """The lines of a list; None where there is none, a torn one, or one of another stamp."""
    try:
        text = path.read_text('utf-8', 'surrogateescape')
    except OSError:
        return None
    head, *rest = text.split('\n')
    words = head.rsplit(' ', 2)
    if len(words) != 3 or words[0] != _VERSION or not (words[1] + words[2]).isdecimal():
        return None
    num_stamp, num_lines = int(words[1]), int(words[2])
    if len(rest) != num_stamp + num_lines + 1 or rest.pop() or rest[:num_stamp] != list(stamp):
        return None
    return rest[num_stamp:]


def kept_stamp(path: Path) -> list[str]:
    """The stamp of a list, empty where there is none."""
    try:
        with path.open(encoding='utf-8', errors='surrogateescape') as file:
            words = file.readline().rsplit(' ', 2)
            if len(words) != 3 or words[0] != _VERSION:
                return []
            return [file.readline().rstrip('\n') for _ in range(int(words[1]))]
    except (OSError, ValueError):
        return []


def list_places(source: Path, kind: str) -> list[Path]:
    """Where the list of a source may lie, the first choice first."""
    real = os.path.realpath(source)
    key = hashlib.sha256(f'{kind} {real}'.encode(errors='surrogateescape')).hexdigest()[:16]
    # In the folder above: a file in the folder itself would change its time.
    beside = source.parent / f'.{source.name}.mim-bench-{kind}.txt'
    return [beside, cache_folder('lists') / f'{key}.txt']


def cache_folder(kind: str) -> Path:
    """The folder of what is computed from data, in the user's cache folder."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'mim_bench' / kind


def _write(path: Path, stamp: Sequence[str], lines: Sequence[str]) -> bool:
    text = '\n'.join([f'{_VERSION} {len(stamp)} {len(lines)}', *stamp, *lines, ''])
    with contextlib.suppress(MimBenchError, OSError):
        write_atomically({path: text.encode(errors='surrogateescape')})
        return True
    return False
