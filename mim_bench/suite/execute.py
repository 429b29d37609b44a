"""Executes the steps of a plan in parallel; several suites may share one folder.

Each step has a folder with ``log.txt``, ``fingerprint`` (of what it was done from), ``started``
(of what it was last started from) and ``lock``, which its process holds too, so that a step of
a suite that was killed is free as soon as nothing of it runs any more.
"""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from mim_bench.errors import RecordError
from mim_bench.results.atomic import write_atomically
from mim_bench.results.store import read_record
from mim_bench.suite.launching import Launcher, Process
from mim_bench.suite.locks import try_lock
from mim_bench.suite.steps import Outcome, Step, check_plan, lost_steps, ready_steps

POLL_SECONDS = 0.1
LOG_LINES = 15
LOG_FILE = 'log.txt'
# Time limit for writing the record of a run that could not do so itself.
_POST_MORTEM_S = 600


class Listener:
    """Receives progress events. All methods are optional."""

    def started(self, step: Step, attempt: int) -> None:
        """A step was started, for the first time or again."""

    def waiting(self, step: Step) -> None:
        """Another suite is running this step."""

    def taken(self, step: Step) -> None:
        """Another suite finished this step."""

    def retrying(self, step: Step, error: str) -> None:
        """An attempt failed and will be repeated."""

    def finished(self, step: Step, seconds: float, error: str | None) -> None:
        """A step ended; ``error`` has the end of its log if it failed."""

    def tick(self) -> None:
        """Called after every poll of the running steps."""


@dataclass(frozen=True)
class Patience:
    """Retries and time limit of steps.

    Attributes:
        retries: Further attempts of a step that failed; a training resumes.
        timeout_s: Time limit of an attempt in seconds; None: no limit.
    """

    retries: int = 0
    timeout_s: float | None = None


def execute(
    plan: Sequence[Step],
    folder: Path,
    *,
    launcher: Launcher,
    listener: Listener,
    patience: Patience = Patience(),
) -> Outcome:
    """Run all steps that are not done; a failure does not stop the others.

    A step that another process runs is waited for, and skipped if it is done then. A run that
    failed without writing a record gets one.

    Args:
        plan: Steps with unique names, each after the steps that it needs.
        folder: Root of the steps' folders.
        launcher: Starts the steps.
        listener: Receives progress events.
        patience: Retries and time limit.

    Raises:
        ConfigError: The plan cannot run as a whole.
    """
    check_plan(plan)
    outcome = Outcome(done=[step.name for step in plan if is_done(step, folder)])
    for step in plan:
        if step.name not in outcome.done:
            launcher.check(step)
    execution = _Execution(plan, folder, launcher, listener, patience, outcome)
    try:
        execution.go()
    finally:
        execution.stop()
    return outcome


def is_done(step: Step, folder: Path) -> bool:
    """Whether a step's results exist and come from its present inputs."""
    try:
        same = (folder / step.name / 'fingerprint').read_text() == step.fingerprint
        return (
            same
            and all(path.exists() for path in step.files)
            and all(read_record(path).status == 'done' for path in step.records)
        )
    except (OSError, RecordError):
        return False


@dataclass
class _Running:
    step: Step
    lock: TextIO
    began: float
    words: tuple[str, ...]
    attempt: int = 1
    process: Process | None = None  # None while the next attempt waits for resources
    attempt_began: float = 0.0
    log_start: int = 0  # earlier text is of an earlier attempt
    error: str | None = None  # error of an attempt whose failed record is being written

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


@dataclass
class _Execution:
    plan: Sequence[Step]
    folder: Path
    launcher: Launcher
    listener: Listener
    patience: Patience
    outcome: Outcome
    running: list[_Running] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)

    def go(self) -> None:
        while (ready := self._ready()) or self.running:
            for step in ready:
                self._try_to_start(step)
            time.sleep(POLL_SECONDS)
            for item in list(self.running):
                self._look_after(item)
            while newly := lost_steps(self.plan, self.lost):
                self.outcome.skipped += [step.name for step in newly]
                self.lost |= {step.name for step in newly}
            self.listener.tick()

    def _ready(self) -> list[Step]:
        """Steps that could start, including those that another suite runs."""
        finished = {*self.outcome.done, *self.outcome.ran}
        started = {item.step.name for item in self.running}
        return ready_steps(self.plan, finished, started, self.lost)

    def stop(self) -> None:
        for item in self.running:
            if item.process is not None:
                item.process.stop()
            item.lock.close()

    def _try_to_start(self, step: Step) -> None:
        if not self.launcher.has_room(step):
            return
        home = self.folder / step.name
        home.mkdir(parents=True, exist_ok=True)
        lock = try_lock(home / 'lock')
        if lock is None:
            if step.name not in self.waiting:
                self.waiting.add(step.name)
                self.listener.waiting(step)
            return
        if is_done(step, self.folder):
            lock.close()
            self.waiting.discard(step.name)
            self.outcome.done.append(step.name)
            self.listener.taken(step)
            return
        self.waiting.discard(step.name)
        _put_aside_other_inputs(step, home)
        item = _Running(step, lock, time.monotonic(), step.words)
        self.running.append(item)
        self._start(item)

    def _start(self, item: _Running) -> None:
        """Start an attempt, or the writing of its failed record, if resources are free."""
        is_attempt = item.error is None
        step = item.step if is_attempt else replace(item.step, gpus=0)
        if not self.launcher.has_room(step):
            return
        log = self.folder / step.name / LOG_FILE
        item.log_start = log.stat().st_size if log.exists() else 0
        item.attempt_began = time.time()
        item.process = self.launcher.start(step, item.words, log, item.lock.fileno())
        if is_attempt:
            self.listener.started(step, item.attempt)

    def _look_after(self, item: _Running) -> None:
        if item.process is None:
            self._start(item)
            return
        status = item.process.poll()
        limit = self.patience.timeout_s if item.error is None else _POST_MORTEM_S
        if status is None and (limit is None or time.time() - item.attempt_began <= limit):
            return
        if status is None:
            item.process.stop()
        if item.error is not None:  # its record was written, or cannot be
            self._settle(item, item.error)
        elif status == 0:
            fingerprint = self.folder / item.step.name / 'fingerprint'
            write_atomically({fingerprint: item.step.fingerprint.encode()})
            is_complete = is_done(item.step, self.folder)
            self._settle(item, None if is_complete else self._end_of_log(item, 'exit status 0'))
        else:
            self._failed(item, status)

    def _failed(self, item: _Running, status: int | None) -> None:
        if status is None:
            what = f'ended after the {self.patience.timeout_s:.0f} s that an attempt may take'
        else:
            what = f'ended by signal {-status}' if status < 0 else f'exit status {status}'
        error = self._end_of_log(item, what)
        if item.attempt <= self.patience.retries:
            item.attempt += 1
            item.process = None
            self.listener.retrying(item.step, error)
        elif _lacks_record(item):
            item.error, item.process = error, None
            item.words = (*item.step.words, '--record-failure', error)
            self._start(item)
        else:
            self._settle(item, error)

    def _end_of_log(self, item: _Running, what: str) -> str:
        log = self.folder / item.step.name / LOG_FILE
        text = log.read_bytes()[item.log_start :].decode(errors='replace') if log.exists() else ''
        return '\n'.join([*text.splitlines()[-LOG_LINES:], f'({what}; all of it: {log})'])

    def _settle(self, item: _Running, error: str | None) -> None:
        self.running.remove(item)
        name, seconds = item.step.name, item.seconds
        if error is None:
            self.outcome.ran[name] = seconds
        else:
            self.outcome.failed[name] = error
            self.lost.add(name)
        item.lock.close()
        self.listener.finished(item.step, seconds, error)


def _lacks_record(item: _Running) -> bool:
    """Whether a run ended without a record of its failure."""
    return item.step.words[0] in ('train', 'test') and any(
        not path.exists() or path.stat().st_mtime < item.attempt_began for path in item.step.records
    )


def _put_aside_other_inputs(step: Step, home: Path) -> None:
    """Move a step's work directory aside if its inputs changed since.

    A step must not resume from checkpoints of other inputs, nor may the board show their
    results. Nothing is deleted.
    """
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
