"""Executes the steps of a plan in parallel; several suites may share one folder.

The folder of a step holds ``log.txt``; ``fingerprint`` and ``started`` (:mod:`.done`); ``lease``,
held by the suite that runs the step; and ``process``, the process that runs it. After a suite was
killed, another one may run its steps as soon as their processes have ended.
"""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from mim_bench.engine.preemption import handling_signals, seconds_of_job
from mim_bench.errors import RunInterrupted
from mim_bench.files.atomic import Stamp, stamp
from mim_bench.suite.done import (
    checkpoints_of,
    is_done,
    mark_done,
    put_aside_other_inputs,
)
from mim_bench.suite.endings import (
    MOST_IDLE_INTERRUPTIONS,
    Ending,
    ending_of,
    is_interruption,
    memory_kills,
    recorded_cause,
)
from mim_bench.suite.launching import COMPUTING, Claim, Launcher, Process
from mim_bench.suite.steps import Outcome, Step, check_plan, lost_steps, ready_steps

# Between checks of a step that another suite runs; the file system may be slow.
LOOK_SECONDS = 5.0
LOG_LINES = 15
LOG_FILE = 'log.txt'
# Time limit for writing the record of a run that could not do so itself.
_POST_MORTEM_S = 600
# With less time left of the suite's own job, no run starts again.
_JOB_END_S = 300


class Listener:
    """Receives progress events. All methods are optional."""

    def planned(self, steps: Sequence[Step]) -> None:
        """These steps of the plan are not done."""

    def started(self, step: Step, attempt: int) -> None:
        """A step was started, for the first time or again."""

    def waiting(self, step: Step) -> None:
        """Another suite is running this step."""

    def taken(self, step: Step) -> None:
        """Another suite finished this step."""

    def retrying(self, step: Step, error: str) -> None:
        """An attempt failed and will be repeated."""

    def interrupted(self, step: Step, times: int) -> None:
        """A run was asked to stop, has saved, and starts again."""

    def finished(self, step: Step, seconds: float, error: str | None) -> None:
        """A step ended; ``error`` has the end of its log if it failed."""

    def tick(self) -> None:
        """Called after every poll of the running steps."""


@dataclass(frozen=True)
class Patience:
    """Retries and time limit of steps.

    Attributes:
        retries: Further attempts of a step that failed; a training resumes. A lack of memory is
            not retried. A run that was interrupted starts again without counting.
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
    failed without writing a record gets one. If this process ends early, steps on this machine
    end with it; jobs of a cluster do so only if the user interrupts it.

    Args:
        plan: Steps with unique names, each after the steps that it needs.
        folder: Root of the steps' folders.
        launcher: Starts the steps.
        listener: Receives progress events.
        patience: Retries and time limit.

    Raises:
        ConfigError: The plan cannot run as a whole.
        RunInterrupted: This process got SIGTERM, SIGUSR1 or SIGUSR2; its runs have saved.
    """
    check_plan(plan)
    outcome = Outcome(done=[step.name for step in plan if is_done(step, folder)])
    open_steps = [step for step in plan if step.name not in outcome.done]
    for step in open_steps:
        launcher.check(step)
    listener.planned(open_steps)
    execution = _Execution(plan, folder, launcher, listener, patience, outcome)
    try:
        with handling_signals(_interrupt):
            execution.go()
    except BaseException as error:
        execution.stop(is_wanted=isinstance(error, KeyboardInterrupt))
        raise
    return outcome


def _interrupt(number: int, frame: object) -> NoReturn:
    """Handle a signal that asks to stop."""
    raise RunInterrupted(
        f'stopped by {signal.Signals(number).name}; the runs have been asked to save. Start '
        'again to go on.'
    )


@dataclass
class _Running:
    step: Step
    began: float
    words: tuple[str, ...]
    claim: Claim | None = None
    attempt: int = 1
    process: Process | None = None  # None while the next attempt waits for resources
    attempt_began: float = 0.0  # of time.monotonic()
    log_start: int = 0  # earlier text is of an earlier attempt
    records: list[Stamp | None] = field(default_factory=list)  # their stamps when the attempt began
    checkpoints: set[tuple[str, Stamp | None]] = field(default_factory=set)
    memory_kills: int = 0
    interruptions: int = 0
    idle_interruptions: int = 0  # in a row without a new checkpoint
    error: str | None = None  # error of an attempt whose failed record is being written
    is_lost: bool = False  # another suite took the step

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
    waiting: dict[str, float] = field(default_factory=dict)  # steps that others run: next check
    lost: set[str] = field(default_factory=set)

    def go(self) -> None:
        while (ready := self._ready()) or self.running:
            for step in ready:
                self._try_to_start(step)
            self.launcher.pause()
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

    def stop(self, *, is_wanted: bool) -> None:
        """End what runs; all of it is asked before the first is waited for.

        Args:
            is_wanted: Whether jobs of a cluster, which could continue alone, are to end too.
        """
        processes = [item.process for item in self.running if item.process is not None]
        for process in processes:
            if is_wanted or process.pid is not None:
                process.interrupt()
        for process in processes:
            process.stop() if is_wanted else process.abandon()
        for item in self.running:
            item.claim.end()

    def _try_to_start(self, step: Step) -> None:
        is_early = time.monotonic() < self.waiting.get(step.name, 0.0)
        if is_early or not self.launcher.has_room(step):
            return
        home = self.folder / step.name
        home.mkdir(parents=True, exist_ok=True)
        item = _Running(step, time.monotonic(), step.words)
        claim = self.launcher.claim(step, home, lambda: setattr(item, 'is_lost', True))
        if claim is None:
            if step.name not in self.waiting:
                self.listener.waiting(step)
            self.waiting[step.name] = time.monotonic() + LOOK_SECONDS
            return
        self.waiting.pop(step.name, None)
        if is_done(step, self.folder):
            claim.end()
            self.outcome.done.append(step.name)
            self.launcher.ended(step, None)
            self.listener.taken(step)
            return
        put_aside_other_inputs(step, self.folder)
        item.claim = claim
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
        item.attempt_began = time.monotonic()
        if is_attempt:
            item.records = [stamp(path) for path in step.records]
            item.checkpoints = checkpoints_of(step)
            item.memory_kills = memory_kills()
        item.process = self.launcher.start(step, item.words, log)
        item.claim.note(item.process)
        if is_attempt:
            self.listener.started(step, item.attempt)

    def _look_after(self, item: _Running) -> None:
        if item.is_lost:
            if item.process is not None:
                item.process.stop()
            self._settle(item, 'Another suite took this step: this one was suspended or cut off.')
            return
        if item.process is None:
            self._start(item)
            return
        status = item.process.poll()
        limit = self.patience.timeout_s if item.error is None else _POST_MORTEM_S
        if status is None and (limit is None or time.monotonic() - item.attempt_began <= limit):
            return
        if status is None:
            item.process.stop()
        if item.error is not None:  # its record was written, or cannot be
            self._settle(item, item.error)
        elif status == 0:
            mark_done(item.step, self.folder)
            is_complete = is_done(item.step, self.folder)
            self._settle(item, None if is_complete else self._end_of_log(item, 'exit status 0'))
        else:
            ending = self._ending(item, status)
            is_run = item.step.words[0] in COMPUTING
            if is_run and (is_interruption(status) or self._goes_on(item, ending)):
                self._interrupted(item, ending)
            else:
                self._failed(item, ending)

    def _goes_on(self, item: _Running, ending: Ending) -> bool:
        """Whether the cluster ended the run, which can continue."""
        if item.process.state() is None:
            return False
        has_saved = checkpoints_of(item.step) != item.checkpoints
        lost_machine = ending.cause in ('preempted', 'node-failure')
        return lost_machine or (ending.cause == 'timeout' and has_saved)

    def _ending(self, item: _Running, status: int | None) -> Ending:
        if status is None:
            limit = self.patience.timeout_s
            return Ending('timeout', f'ended after the {limit:.0f} s that an attempt may take')
        own = None if _lacks_record(item) else recorded_cause(item.step.records)
        lost_memory = memory_kills() > item.memory_kills
        return ending_of(status, item.process.state(), own, lost_memory=lost_memory)

    def _interrupted(self, item: _Running, ending: Ending) -> None:
        """Restart an interrupted run, unless its last attempts saved no new checkpoint."""
        left = seconds_of_job()
        if left is not None and left < _JOB_END_S:
            raise RunInterrupted('the job of this suite is about to end. Start again to go on.')
        item.interruptions += 1
        is_idle = checkpoints_of(item.step) == item.checkpoints
        item.idle_interruptions = item.idle_interruptions + 1 if is_idle else 0
        if item.idle_interruptions >= MOST_IDLE_INTERRUPTIONS:
            count = f'{item.interruptions} times, the last {item.idle_interruptions} of them'
            cause = ending.cause if ending.cause == 'node-failure' else 'preempted'
            self._failed(item, Ending(cause, f'{count} without a new checkpoint'))
            return
        item.process = None
        self.listener.interrupted(item.step, item.interruptions)

    def _failed(self, item: _Running, ending: Ending) -> None:
        error = self._end_of_log(item, str(ending))
        is_hopeless = ending.cause in ('out-of-memory', 'preempted', 'user')
        if item.attempt <= self.patience.retries and not is_hopeless:
            item.attempt += 1
            item.process = None
            self.listener.retrying(item.step, error)
        elif item.step.words[0] in COMPUTING and _lacks_record(item):
            item.error, item.process = error, None
            item.words = (*item.step.words, '--record-failure', error)
            item.words += ('--failure-cause', ending.cause)
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
        item.claim.end()
        self.launcher.ended(item.step, error)
        self.listener.finished(item.step, seconds, error)


def _lacks_record(item: _Running) -> bool:
    """Whether an attempt wrote no new record of some task."""
    stamps = [stamp(path) for path in item.step.records]
    return any(now in (None, then) for now, then in zip(stamps, item.records, strict=True))
