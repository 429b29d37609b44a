"""Whether a step is done, by two files in its folder.

``fingerprint`` holds the step's fingerprint when it was finished, ``started`` the one when it was
last started.
"""

import os
import shutil
import time
from pathlib import Path

from mim_bench.errors import RecordError
from mim_bench.files.atomic import Stamp, stamp, write_atomically
from mim_bench.results.store import read_record
from mim_bench.suite.steps import Step


def is_done(step: Step, folder: Path) -> bool:
    """Whether a step's results exist and come from its present inputs."""
    try:
        return (
            has_finished(folder / step.name, step.fingerprint)
            and all(path.exists() for path in step.files)
            and all(read_record(path).status == 'done' for path in step.records)
        )
    except (OSError, RecordError):
        return False


def has_finished(home: Path, fingerprint: str) -> bool:
    """Whether the command of a step's folder last ended well with these inputs."""
    try:
        return (home / 'fingerprint').read_text() == fingerprint
    except OSError:
        return False


def mark_done(step: Step, folder: Path) -> None:
    """Note that a step's command ended well."""
    write_atomically({folder / step.name / 'fingerprint': step.fingerprint.encode()})


def checkpoints_of(step: Step) -> set[tuple[str, Stamp | None]]:
    """Names and stamps of the checkpoints that a training has saved so far."""
    files = step.work_dir.glob('*.pth') if step.work_dir else ()
    return {(path.name, stamp(path)) for path in files}


def put_aside_other_inputs(step: Step, folder: Path) -> None:
    """Move a step's work directory aside if its inputs changed since.

    A step must not resume from checkpoints of other inputs, nor may the board show their
    results. Nothing is deleted; nothing may run in the work directory any more.
    """
    home = folder / step.name
    home.mkdir(parents=True, exist_ok=True)
    started = home / 'started'
    same = started.exists() and started.read_text() == step.fingerprint
    if not same:
        outdated = [path.parent for path in step.records]
        outdated += [step.work_dir] if step.work_dir else []
        there = [path for path in outdated if path.exists()]
        if there:
            aside = home / f'outdated-{time.strftime("%Y%m%d-%H%M%S")}-{os.getpid()}'
            aside.mkdir()
        for index, path in enumerate(there):
            shutil.move(path, aside / f'{index}-{path.name}')
        write_atomically({started: step.fingerprint.encode()})
