"""Leases on files: locks that end with the process, also with one of a node that died.

The holder touches the file every few seconds. Who finds it untouched for longer than
:data:`DURATION_S`, by its own monotonic clock, takes it; no clocks of two machines are compared,
and the file system needs no locks.
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
    """A claim on a file; the same object must ask again, since it watches the present holder.

    Args:
        path: The file; its folder must exist. It is removed when the lease ends.
        on_loss: Called in another thread when somebody else took the lease, because this process
            was stopped or cut off from the file system.
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
            # A stale one was cleared away, perhaps.
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                return False
        return True

    def end(self) -> None:
        """Give it back; does nothing without it."""
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
