"""Runs the steps of a plan as subprocesses, as many at a time as there are workers."""

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from mim_bench.errors import ConfigError, RecordError
from mim_bench.results.atomic import write_atomically
from mim_bench.results.store import read_record
from mim_bench.suite.steps import Outcome, Step, check_plan, lost_steps, ready_steps

POLL_SECONDS = 0.1
LOG_LINES = 15
_PR_SET_PDEATHSIG = 1


class Listener(Protocol):
    """Who shows the progress."""

    def started(self, step: Step) -> None:
        """A step started."""

    def finished(self, step: Step, seconds: float, error: str | None) -> None:
        """A step ended, with the end of its log if it failed."""


@dataclass
class _Running:
    step: Step
    process: subprocess.Popen
    log: TextIO
    log_start: int  # what stands before is of an earlier execution
    began: float


def execute(
    plan: Sequence[Step],
    folder: Path,
    *,
    workers: int,
    listener: Listener,
    environment: dict[str, str] | None = None,
) -> Outcome:
    """Run what is not done yet; a failure never stops the rest.

    Args:
        plan: Steps with unique names, each after those it needs.
        folder: Keeps ``<step>/log.txt`` and ``<step>/fingerprint``.
        workers: Subprocesses at a time.
        listener: Shows the progress.
        environment: Added to the subprocesses' environment.

    Raises:
        ConfigError: Another execution works in this folder, or the plan cannot run as a whole.
    """
    check_plan(plan)
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Outcome()
    with _exclusive(folder) as lock:
        outcome.done = [step.name for step in plan if is_done(step, folder)]
        finished, started, lost = set(outcome.done), set(), set()
        running: list[_Running] = []
        try:
            while True:
                for step in ready_steps(plan, finished, started, lost):
                    if len(running) < workers:
                        running.append(_start(step, folder, environment or {}, lock.fileno()))
                        started.add(step.name)
                        listener.started(step)
                if not running:
                    break
                time.sleep(POLL_SECONDS)
                for item in [r for r in running if r.process.poll() is not None]:
                    running.remove(item)
                    _settle(item, folder, outcome, finished, lost, listener)
                while newly := lost_steps(plan, lost):
                    outcome.skipped += [step.name for step in newly]
                    lost |= {step.name for step in newly}
        finally:
            for item in running:
                item.process.kill()
                item.process.wait()
                item.log.close()
    return outcome


def is_done(step: Step, folder: Path) -> bool:
    """Whether a step's results are there and come from what it would read now."""
    try:
        same = (folder / step.name / 'fingerprint').read_text() == step.fingerprint
        return (
            same
            and all(path.exists() for path in step.files)
            and all(read_record(path).status == 'done' for path in step.records)
        )
    except (OSError, RecordError):
        return False


def _start(step: Step, folder: Path, environment: dict[str, str], lock: int) -> _Running:
    home = folder / step.name
    home.mkdir(parents=True, exist_ok=True)
    _forget_other_inputs(step, home)
    log = (home / 'log.txt').open('a')
    log_start = log.tell()
    process = subprocess.Popen(
        [sys.executable, '-m', 'mim_bench.cli.main', *step.words],
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        pass_fds=(lock,),  # the folder stays locked while a step lives
        preexec_fn=_die_with_parent,
    )
    return _Running(step, process, log, log_start, time.monotonic())


def _forget_other_inputs(step: Step, home: Path) -> None:
    """A step resumes from its checkpoints only if it reads what it read when it made them."""
    started = home / 'started'
    same = started.exists() and started.read_text() == step.fingerprint
    if not same:
        # Nor may the board show what it measured on other inputs.
        outdated = [record.parent for record in step.records]
        for path in [*outdated, *([step.work_dir] if step.work_dir else [])]:
            shutil.rmtree(path, ignore_errors=True)
    write_atomically({started: step.fingerprint.encode()})


def _settle(
    item: _Running,
    folder: Path,
    outcome: Outcome,
    finished: set[str],
    lost: set[str],
    listener: Listener,
) -> None:
    item.log.close()
    seconds = time.monotonic() - item.began
    step = item.step
    error = None
    if item.process.returncode == 0:
        write_atomically({folder / step.name / 'fingerprint': step.fingerprint.encode()})
    if item.process.returncode == 0 and is_done(step, folder):
        finished.add(step.name)
        outcome.ran[step.name] = seconds
    else:
        log = folder / step.name / 'log.txt'
        text = log.read_bytes()[item.log_start :].decode(errors='replace')
        tail = text.splitlines()[-LOG_LINES:]
        error = '\n'.join([*tail, f'(exit status {item.process.returncode}; all of it: {log})'])
        outcome.failed[step.name] = error
        lost.add(step.name)
    listener.finished(step, seconds, error)


class _exclusive:  # noqa: N801
    """Holds the folder's lock; the operating system frees it when all holders died."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / '.lock'

    def __enter__(self) -> TextIO:
        self.file = self.path.open('w')
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.file.close()
            raise ConfigError(
                f'{self.path.parent}: another process works in this folder. Wait for it, end it, '
                'or choose another --out.'
            ) from error
        return self.file

    def __exit__(self, *_: object) -> None:
        self.file.close()


def _die_with_parent() -> None:
    """On Linux, a step ends with the process that started it; elsewhere it runs on."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def count_workers(wanted: int | None, available: Callable[[], int | None] = os.cpu_count) -> int:
    """As many subprocesses as asked for, else one for every core, four at most.

    Raises:
        ConfigError: Fewer than one was asked for.
    """
    if wanted is None:
        return min(available() or 1, 4)
    if wanted < 1:
        raise ConfigError(f'--workers {wanted}: nothing could run. Ask for one or more.')
    return wanted
