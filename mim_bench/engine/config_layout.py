"""Importing the package that mmengine lays configs out with, safely beside other processes."""

import os
import tempfile
from pathlib import Path

from filelock import FileLock


def import_layout() -> None:
    """Import yapf, one process of a user at a time.

    At its first import after an installation yapf writes its grammar to a file of the user, in
    place; a process that imports it meanwhile reads half a file and fails. mmengine imports it
    when a runner is built, in every rank at once.
    """
    user = os.getuid() if hasattr(os, 'getuid') else 0
    with FileLock(Path(tempfile.gettempdir()) / f'mim_bench-{user}-yapf.lock'):
        import yapf.yapflib.yapf_api  # noqa: F401
