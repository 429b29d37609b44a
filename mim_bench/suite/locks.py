"""Locks between processes: the operating system frees one when all its holders died."""

import fcntl
from pathlib import Path
from typing import TextIO


def try_lock(path: Path) -> TextIO | None:
    """Take a lock; whoever holds the open file, or inherited it, holds the lock.

    Args:
        path: Of a file that is made, and left there.

    Returns:
        The file, to be closed; None if another process holds the lock.
    """
    file = path.open('a')
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def wait_for_lock(path: Path) -> TextIO:
    """Take a lock when it is free."""
    file = path.open('a')
    fcntl.flock(file, fcntl.LOCK_EX)
    return file
