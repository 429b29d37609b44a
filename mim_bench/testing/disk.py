"""Simulates a full disk, for tests of code that writes files."""

import errno
import os


def full_disk(_handle: int) -> None:
    """Stand in for ``os.fsync`` and fail as on a full disk.

    Raises:
        OSError: Always, with ENOSPC.
    """
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
