"""Commands of ``mim-bench`` in this process: without the seconds that a new one imports."""

import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

from mim_bench.cli.main import main


def mim_bench(*words: object) -> subprocess.CompletedProcess:
    """Run a command.

    Args:
        *words: After the program's name.

    Returns:
        With ``returncode``, ``stdout`` and ``stderr``, as of a process of its own.
    """
    words = [str(word) for word in words]
    with redirect_stdout(StringIO()) as shown, redirect_stderr(StringIO()) as errors:
        try:
            status = main(words)
        except SystemExit as error:
            status = error.code
    return subprocess.CompletedProcess(words, status, shown.getvalue(), errors.getvalue())


class ThisProcess:
    """Stands for :class:`mim_bench.profiling.fake_step.OwnProcess`: calls functions here.

    One call at a time, since commands redirect the output of the whole process.
    """

    _lock = threading.Lock()

    def __init__(self, environment: Mapping[str, str]) -> None:
        pass

    def __enter__(self) -> 'ThisProcess':
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of the function."""
        with self._lock:
            return function(*args)
