"""Disks that refuse, for tests of code that writes files."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def full_disk(_handle: int) -> None:
    """Stand in for ``os.fsync`` and fail as on a full disk.

    Raises:
        OSError: Always, with ENOSPC.
    """
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """Mount a disk in memory on a new folder; skips the test where mounting is not permitted.

    Args:
        folder: Made here.
        options: Options of ``mount``: ``size=1m``, or ``ro`` for one that takes no change.
    """
    folder.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', str(folder)]
    if not shutil.which('mount') or subprocess.run(command, capture_output=True).returncode:
        pytest.skip('mounting a small disk is not permitted here')
    try:
        yield folder
    finally:
        subprocess.run(['umount', '--lazy', folder], capture_output=True)
