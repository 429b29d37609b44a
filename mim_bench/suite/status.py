"""The state of a suite's steps, from its book of jobs and one question to the scheduler."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from mim_bench.errors import ConfigError, did_you_mean
from mim_bench.suite.done import has_finished
from mim_bench.suite.endings import cause_of_state
from mim_bench.suite.execute import LOG_FILE
from mim_bench.suite.job import Job
from mim_bench.suite.job_book import DONE, FAILED, OPEN, SUBMITTED, JobBook, Note
from mim_bench.suite.progress import describe_progress
from mim_bench.suite.schedulers import has_ended, scheduler_for
from mim_bench.suite.steps import Step


@dataclass(frozen=True)
class StepState:
    """What a step does.

    Attributes:
        name: The step.
        state: ``done``, ``running``, ``queued``, ``failed``, ``ended`` (its job has, and nobody has
            looked since) or ``open``.
        job: The scheduler's id, '' if there is none.
        more: Progress, the scheduler's words, or why it failed.
    """

    name: str
    state: str
    job: str = ''
    more: str = ''


def read_states(out: Path, *, ask: bool = True) -> list[StepState]:
    """The states of the steps of a suite that was submitted to a cluster.

    Args:
        out: The suite's folder.
        ask: Whether to ask the scheduler; else what it said last.

    Raises:
        ConfigError: No step was submitted from there.
    """
    book, notes = _read(out)
    live = {name: note for name, note in notes.items() if note.state == SUBMITTED}
    if ask and live:
        jobs = {note.id: _job(name, note, out) for name, note in live.items()}
        said = scheduler_for(book.cluster, out / 'slurm').states(jobs) or {}
        notes |= {
            name: replace(note, said=said.get(note.id) or note.said) for name, note in live.items()
        }
    return [_state(name, note, out) for name, note in notes.items()]


def _read(out: Path) -> tuple[JobBook, dict[str, Note]]:
    book = JobBook(out)
    notes = book.read()
    if not notes:
        raise ConfigError(
            f'{out}: no step was submitted to a cluster from here. Name the folder of the suite '
            'with --out.'
        )
    return book, notes


def _job(name: str, note: Note, out: Path) -> Job:
    """The part of a job that a scheduler needs to report its state."""
    return Job(note.key, Step(name, ()), (), out / 'steps')


def _state(name: str, note: Note, out: Path) -> StepState:
    if note.state in (DONE, FAILED, OPEN):
        return StepState(name, note.state, note.id, note.why)
    if has_ended(note.said):
        home = out / 'steps' / name
        is_done = note.said == 'COMPLETED' and has_finished(home, note.fingerprint)
        cause = cause_of_state(note.said) or note.said.lower()
        return StepState(name, DONE if is_done else 'ended', note.id, '' if is_done else cause)
    if note.said == 'RUNNING':
        progress = describe_progress(out / 'steps' / name / LOG_FILE)
        return StepState(name, 'running', note.id, progress)
    return StepState(name, 'queued', note.id, note.said.lower())


def cancel_jobs(out: Path, names: Iterable[str] = ()) -> list[str]:
    """Cancel jobs that may be in the queue; runs save first.

    Args:
        out: The suite's folder.
        names: Steps; all if there are none.

    Returns:
        The steps whose jobs were cancelled.

    Raises:
        ConfigError: No step was submitted from there, or none of a name.
    """
    (book, notes), wanted = _read(out), set(names)
    for name in sorted(wanted - set(notes)):
        raise ConfigError(
            f'{out}: no step {name!r} was submitted from here.{did_you_mean(name, notes)} '
            f'`mim-bench status --out {out} --all` lists the steps.'
        )
    live = {
        name: note.id
        for name, note in notes.items()
        if note.state == SUBMITTED and not has_ended(note.said) and (not wanted or name in wanted)
    }
    if live:
        scheduler_for(book.cluster, out / 'slurm').cancel(list(live.values()))
    return list(live)
