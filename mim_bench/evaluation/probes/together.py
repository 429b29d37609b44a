"""Runs functions on one or all processes so that errors are raised on all processes."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TypeVar

from mmengine.dist import (
    all_gather_object,
    barrier,
    broadcast_object_list,
    get_rank,
    get_world_size,
    is_main_process,
)

from mim_bench.errors import MimBenchError

Result = TypeVar('Result')


def on_main_process(work: Callable[[], Result]) -> Result:
    """Call a function on the first process only; call this on every process.

    Returns:
        Its result on every process; it must be picklable.

    Raises:
        MimBenchError: The first process raised it, or an ``OSError``; on every process.
    """
    outcome: list = [None, None]
    if is_main_process():
        try:
            outcome[0] = work()
        except (MimBenchError, OSError) as error:
            outcome[1] = _portable(error)
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def on_every_process(work: Callable[[], Result]) -> list[Result]:
    """Call a function on every process.

    Returns:
        The results by process, on every process; they must be picklable.

    Raises:
        MimBenchError: One process raised it, or an ``OSError``; on every process, so that none
            waits for another that has stopped.
    """
    result, failure = None, None
    try:
        result = work()
    except (MimBenchError, OSError) as error:
        failure = _portable(error)
    outcomes = all_gather_object((result, failure))
    for _, error in outcomes:
        if error is not None:
            raise error
    return [result for result, _ in outcomes]


def shared_scores(
    score: Callable[[Sequence[float]], tuple[list[float], list[float]]], rates: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Accuracies and losses of all learning rates of a sweep; each process trains some of them.

    Args:
        score: Trains a head for each of some rates, side by side, and scores them. A process
            without a share is given the first rate, so that all draw the same random numbers.
        rates: All of them.

    Returns:
        By rate, the same on every process.
    """
    places = range(get_rank(), len(rates), get_world_size())
    found = score([rates[place] for place in places] or rates[:1])
    rows = [(place, *row) for place, row in zip(places, zip(*found, strict=True), strict=False)]
    gathered = sorted(chain.from_iterable(on_every_process(lambda: rows)))
    return [accuracy for _, accuracy, _ in gathered], [loss for *_, loss in gathered]


@contextmanager
def shared_temporary_folder(parent: Path) -> Iterator[Path]:
    """Context with a new folder in ``parent`` that all processes see; it is removed at the end."""
    folder = on_main_process(lambda: _new_folder(parent))
    try:
        yield folder
        barrier()  # no process reads it any more; skipped after an error
    finally:
        if is_main_process():
            shutil.rmtree(folder, ignore_errors=True)


def _new_folder(parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix='.features.', suffix='.tmp', dir=parent))
    folder.chmod(parent.stat().st_mode & 0o777)  # mkdtemp's is readable by the owner only
    return folder


def _portable(error: MimBenchError | OSError) -> MimBenchError:
    if isinstance(error, MimBenchError):
        return error
    return MimBenchError(
        f'Features cannot be written: {error.strerror or error}: {error.filename or ""}. Free some '
        'space, or set test_cfg.cache_dir to a folder with more of it that all processes see.'
    )
