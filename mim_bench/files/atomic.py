"""Files that are either whole or absent: written under a temporary name, then renamed."""

import os
import platform
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from mim_bench.errors import MimBenchError

# Inode, time of the last change in ns, bytes.
Stamp = tuple[int, int, int]


def write_atomically(contents: Mapping[Path, bytes]) -> None:
    """Write files by path; all of them are on the disk before the first takes its name.

    A full disk thus leaves every earlier file as it was. Missing parent folders are made.

    Raises:
        MimBenchError: The disk is full, read-only or otherwise refuses.
    """
    staged: dict[Path, Path] = {}
    current = Path()
    try:
        for current, data in contents.items():
            current.parent.mkdir(parents=True, exist_ok=True)
            # Beside the file, so that the rename stays on one file system.
            name = f'.{current.name[:100]}.{uuid.uuid4().hex[:8]}.tmp'
            staged[current] = current.with_name(name)
            with staged[current].open('xb') as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for current, temporary in staged.items():
            temporary.replace(current)
        for folder in sorted({path.parent for path in staged}):
            sync_folder(folder)
    except OSError as error:
        raise MimBenchError(
            f'Cannot write {current}: {error.strerror or error}. '
            'Free some space or choose another folder, and run again; '
            'the files that were there are unchanged.'
        ) from error
    finally:
        for temporary in staged.values():
            discard(temporary)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, which takes the name of ``path`` once it is on the disk.

    A reader of ``path`` sees the file before or the file after, each whole, also when a process
    is killed, the disk is full, or processes of other machines write the same file.

    Args:
        path: Path of the file, in a folder that is there.

    Raises:
        OSError: The file system refuses; the file before is untouched.
    """
    temporary = path.with_name(f'.{path.name}.{platform.node()}-{os.getpid()}.tmp')
    try:
        yield temporary
        with temporary.open('rb') as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        discard(temporary)


def discard(path: Path) -> None:
    """Remove a file, if it is there and the disk takes the change."""
    with suppress(OSError):
        path.unlink()


def stamp(path: Path) -> Stamp | None:
    """A value that changes whenever a file is replaced or written; None if it does not exist."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def sync_folder(folder: Path) -> None:
    """Sync a folder: otherwise a power cut may lose a new name although the data are safe."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
