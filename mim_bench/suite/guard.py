"""Runs a command and ends all its descendant processes, at the latest with the parent's end.

``python -I -S guard.py COMMAND...`` runs a command, and ends as it does; it needs nothing but the
standard library. What a command starts may outlive it: torchrun gives each of its processes its own
session, so killing torchrun, or its group, leaves them, and they would keep writing where the next
attempt writes.
This process adopts them, and ends them when the command has ended or when it gets SIGTERM, after a
training has had the time to save. Its starter arranges that it gets SIGTERM when the starter ends.
SIGUSR1 and SIGUSR2 are passed on to the command.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
# A training that gets one of them saves at its next update and ends.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
# Seconds that it has for this, before all processes are killed.
GRACE_S = 60


def die_with(parent: int, number: int = signal.SIGKILL) -> None:
    """On Linux, send this process a signal when its parent ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended before that
            os._exit(1)


def children(pid: int) -> list[int]:
    """The child processes of a process."""
    found = []
    with contextlib.suppress(OSError):  # it ended meanwhile
        for task in Path(f'/proc/{pid}/task').iterdir():
            found += [int(child) for child in (task / 'children').read_text().split()]
    return found


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    found = children(pid)
    return [*found, *(below for child in found for below in descendants(child))]


def main(command: list[str]) -> int:
    """Run a command and wait for all processes that it started."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    started: list[subprocess.Popen] = []
    signal.signal(signal.SIGTERM, _raise)
    for number in STOP_SIGNALS[1:]:
        signal.signal(number, lambda number, _: [p.send_signal(number) for p in started])
    status = -signal.SIGTERM
    try:
        started.append(subprocess.Popen(command))
        status = started[0].wait()
    except SystemExit:  # it may have been about to start the command
        _signal_all(signal.SIGTERM, until=time.monotonic() + GRACE_S)
    _signal_all(signal.SIGKILL)
    return status if status >= 0 else 128 - status


def _raise(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _signal_all(number: int, until: float = float('inf')) -> None:
    """Send a signal to all descendants until none is left; new ones may appear meanwhile."""
    told: set[int] = set()
    while (family := descendants(os.getpid())) and time.monotonic() < until:
        for pid in set(family) - told:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        told |= set(family)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
