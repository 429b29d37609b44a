"""Checkpoints of runs: whole files, and what to do where a disk takes none."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mim_bench.errors import CheckpointError
from mim_bench.files.atomic import discard, whole_file

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
def whole_checkpoint(path: Path) -> Iterator[Path]:
    """:func:`~mim_bench.files.atomic.whole_file` for a checkpoint of a run.

    Raises:
        CheckpointError: The file system refuses; the file before is untouched.
    """
    try:
        with whole_file(path) as temporary:
            yield temporary
    except OSError as error:
        advice = DISK_ADVICE.get(error.errno, 'Check the file system')
        raise CheckpointError(
            f'{path}: cannot be written ({error.strerror or error}). Earlier checkpoints are '
            f'untouched. {advice} and start again with --auto-resume.'
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed run of a folder left half written; call it before a run writes there."""
    for path in folder.glob('.*.pth.*tmp'):
        discard(path)
