"""Functions compiled by numba, which takes a second to import: import this where it is needed."""

from collections.abc import Callable

import numba


def compiled(function: Callable) -> Callable:
    """The function, compiled when it is first called, and kept on disk where that can be."""
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # neither the package nor the user's cache can be written
        return numba.njit(function)
