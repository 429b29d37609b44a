"""File locks between processes; the operating system frees a lock when all holders ended."""

import fcntl
from pathlib import Path
from typing import TextIO


def try_lock(path: Path) -> TextIO | None:
    """Try to take a lock; it is held by all processes that have the file open.

    Args:
        path: Lock file; it is created, and not deleted.

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
    """Take a lock, waiting until it is free."""
    file = path.open('a')
    fcntl.flock(file, fcntl.LOCK_EX)
    return file
