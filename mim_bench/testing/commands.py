"""Commands of ``mim-bench`` in this process: without the seconds that a new one imports."""

import subprocess
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

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
