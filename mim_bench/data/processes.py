"""Applies a function to many items in several processes."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from mim_bench.errors import DataError

Item = TypeVar('Item')
Result = TypeVar('Result')
_CHUNK = 32  # items that a process takes at a time


def mapped(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[Result]:
    """The results in the order of the items.

    Args:
        function: A function of a module, not nested, so that other processes can get it.
        items: What it takes.
        workers: Processes; with at most one, this process does everything.

    Raises:
        DataError: A process was killed.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    # Spawned, not forked: the caller may have started threads.
    context = multiprocessing.get_context('spawn')
    try:
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            yield from pool.map(function, items, chunksize=_CHUNK)
    except BrokenProcessPool as error:
        raise DataError(
            'A process that read or drew images was killed, perhaps for want of memory. Run again '
            'with fewer --workers.'
        ) from error
