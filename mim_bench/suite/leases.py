"""Leases on files: locks that end with the process, also with one of a node that died.

The holder touches the file every few seconds. Another process that sees it untouched for
:data:`DURATION_S`, by its own monotonic clock, takes the lease. No clocks of two machines are
compared, and the file system needs no locks.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import SoftFileLease, Timeout

# Longer than a client of NFS may show old attributes of a file (60 s).
DURATION_S = 180.0
_POLL_S = 1.0


class Lease:
    """A lease on a file. Ask again with the same object: it tracks whether the holder is alive.

    Args:
        path: The file; its folder must exist. It is removed when the lease ends.
        on_loss: Called in another thread after another process took the lease, because this one
            was suspended or cut off from the file system.
    """

    def __init__(self, path: Path, on_loss: Callable[[], None] | None = None) -> None:
        self._lock = SoftFileLease(
            path,
            lease_duration=DURATION_S,
            on_compromise=on_loss and (lambda _: on_loss()),
            thread_local=False,
        )

    def take(self) -> bool:
        """Take the lease if it is free, or its holder is gone."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            # The first attempt may have removed a stale lease.
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                return False
        return True

    def end(self) -> None:
        """Release the lease, if it is held."""
        self._lock.release()


@contextmanager
def leased(path: Path) -> Iterator[None]:
    """Hold a lease inside; waits for it."""
    lease = Lease(path)
    while not lease.take():
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        lease.end()
