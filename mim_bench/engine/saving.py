"""Files that take long to write: under a temporary name of their process, synced, then renamed."""

import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mim_bench.errors import CheckpointError
from mim_bench.files.atomic import discard, sync_folder

# What to do before a run is started again, by the error of a file system.
DISK_ADVICE = {
    errno.ENOSPC: 'Free some space',
    errno.EDQUOT: 'Your quota is used up: free some space',
    errno.EROFS: 'The file system is read-only: make it writable, or use another --work-dir,',
    errno.EACCES: 'Make the folder writable, or use another --work-dir,',
    errno.EPERM: 'Make the folder writable, or use another --work-dir,',
    errno.EEXIST: 'A file stands where a folder is needed: use another --work-dir,',
    errno.ENOTDIR: 'A file stands where a folder is needed: use another --work-dir,',
    errno.ENOENT: 'The folder is gone: restore it, or use another --work-dir,',
    errno.ESTALE: 'The file server lost the folder: mount it again',
    errno.EIO: 'Check the disk or the file server',
}


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, which takes the name of ``path`` once it is on the disk.

    A reader of ``path`` sees the file before or the file after, each whole, also when a process
    is killed, the disk is full, or other processes write the same file.

    Args:
        path: Path of the file.

    Raises:
        CheckpointError: The file system refuses; the file before is untouched.
    """
    temporary = path.with_name(f'.{path.name}.{platform.node()}-{os.getpid()}.tmp')
    try:
        yield temporary
        with temporary.open('rb') as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        advice = DISK_ADVICE.get(error.errno, 'Check the file system')
        raise CheckpointError(
            f'{path}: cannot be written ({error.strerror or error}). Earlier checkpoints are '
            f'untouched. {advice} and start again with --auto-resume.'
        ) from error
    finally:
        discard(temporary)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed run of a folder left half written; call it before a run writes there."""
    for path in folder.glob('.*.pth.*tmp'):
        discard(path)
