"""Keeps a second training out of a work directory: both would write the same checkpoints."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from mmengine.logging import print_log

from mim_bench.errors import TrainingError

LOCK_FILE = '.training.lock'
# A killed process may keep its files for some seconds more, while its memory is freed.
_PATIENCE_S = 10
_RANKS = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID'}


@contextmanager
def only_training(work_dir: str | Path, launcher: str, *, is_restart: bool) -> Iterator[None]:
    """Hold a work directory; the first process of the run does.

    The lock is one of POSIX, which belongs to the process: the system releases it when the process
    ends, however it ends, and processes that were forked for data do not inherit it.

    Args:
        work_dir: Made if missing.
        launcher: 'none', 'pytorch' or 'slurm'.
        is_restart: Whether the training is started again after a failure, with nobody there. Then
            another machine's lock is not believed: some file systems keep that of a dead node.

    Raises:
        TrainingError: Another training holds it.
    """
    path = Path(work_dir) / LOCK_FILE
    if not is_first_process(launcher):
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open('ab+', buffering=0)
    except OSError:  # what the run itself writes there says so
        yield
        return
    with file:
        if not _lock(file):
            file.seek(0)
            pid, _, host = file.read().decode('utf-8', 'replace').partition(' ')
            found = f'{work_dir}: another training runs in it (process {pid} on {host}).'
            if not is_restart or host == socket.gethostname():
                raise TrainingError(
                    f'{found} Stop it, or give another --work-dir. If {host} is dead, delete '
                    f'{path} and run again.'
                )
            print_log(f'{found} It is taken for dead, since --auto-resume starts this one.')
        yield


def is_first_process(launcher: str) -> bool:
    """Whether this is the first process of a run, which may not be connected yet.

    Args:
        launcher: 'none', 'pytorch' or 'slurm'.
    """
    return os.environ.get(_RANKS.get(launcher, ''), '0') == '0'


def _lock(file: FileIO) -> bool:
    """Whether the lock was free, or the file system has none."""
    for _ in range(_PATIENCE_S):
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(f'{os.getpid()} {socket.gethostname()}'.encode())
        except (BlockingIOError, PermissionError):
            time.sleep(1)
        except OSError:
            return True
        else:
            return True
    return False
