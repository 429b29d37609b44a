"""Runs steps as jobs of a cluster: followed until they end, or submitted and left.

Every job is written into the job book before it is submitted, so a suite that died in between finds
its jobs again, and none is submitted twice.
"""

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mim_bench.errors import ConfigError, first_of
from mim_bench.files.atomic import write_atomically
from mim_bench.files.validation import adapter, parse_json
from mim_bench.suite.done import is_done, put_aside_other_inputs
from mim_bench.suite.endings import cause_of_state
from mim_bench.suite.job import Job, read_end
from mim_bench.suite.job_book import DONE, FAILED, OPEN, SUBMITTED, SUBMITTING, JobBook, Note
from mim_bench.suite.launching import Claim, Launcher, LocalLauncher, Process
from mim_bench.suite.leases import Lease
from mim_bench.suite.resources import CPU, Cluster, cluster_problems, step_problems
from mim_bench.suite.schedulers import (
    Scheduler,
    SubmissionFailed,
    has_ended,
    scheduler_for,
)
from mim_bench.suite.steps import Step

# Time between two requests for the states of all jobs.
ASK_S = 20.0
_PAUSE_S = 5.0
# Between attempts to submit: a controller that is overloaded or restarts takes minutes.
BACKOFF_S = (15.0, 30.0, 60.0, 120.0, 240.0)
# A job that the scheduler does not know this often in a row is lost.
_MOST_UNKNOWN = 6
# Delay after which another machine sees a new file at the latest.
_LATE_FILE_S = 60.0
LOST = 'UNKNOWN to the scheduler'


def check_jobs(plan: Sequence[Step], cluster: Cluster, known: Sequence[str]) -> None:
    """Refuse jobs that cannot be submitted.

    Args:
        plan: The steps, with their resources.
        cluster: The cluster.
        known: Tasks of the suite.

    Raises:
        ConfigError: Everything that is wrong.
    """
    found = cluster_problems(cluster, known)
    for step in plan:
        found += step_problems(
            step.name, step.resources, step.gpus, cluster.limits, bool(step.trial_words)
        )
    if found:
        shown = first_of(found, 20, '\n')
        raise ConfigError(
            f'These jobs cannot be submitted:\n{shown}\nSet what is missing by '
            '--resources KEY=VALUE, or in the file of --cluster.'
        )


def allot(plan: Sequence[Step], cluster: Cluster) -> list[Step]:
    """The plan, with the resources of ``cpu`` for steps that compute nothing."""
    return [step if step.gpus else replace(step, resources=cluster.of([CPU])) for step in plan]


@dataclass
class _Submission:
    """A job on its way into the queue."""

    job: Job
    tries: int = 0
    next_try: float = 0.0
    error: str = ''
    alone: bool = False
    id: str = ''

    @property
    def is_refused(self) -> bool:
        return self.tries > len(BACKOFF_S)


@dataclass
class ClusterLauncher(Launcher):
    """Submits steps as jobs and follows them; steps that compute nothing run here.

    Jobs go on when the suite ends, unless it is interrupted by the user; a later suite follows
    the jobs of its steps instead of submitting them again.

    Attributes:
        folder: Root of the steps' folders; all nodes must see it.
        local: Launcher of the other steps.
        scheduler: Gets the jobs.
        book: Job book of the suite's folder.
        clock: Monotonic, in seconds.
        sleep: Waits for some seconds.
    """

    folder: Path
    local: LocalLauncher
    scheduler: Scheduler
    book: JobBook
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _manager: Lease | None = field(default=None, init=False)
    _waiting: list[_Submission] = field(default_factory=list, init=False)
    _followed: dict[str, Job] = field(default_factory=dict, init=False)
    _said: dict[str, str] = field(default_factory=dict, init=False)
    _unknown: dict[str, int] = field(default_factory=dict, init=False)
    _cancelled: set[str] = field(default_factory=set, init=False)
    _to_cancel: set[str] = field(default_factory=set, init=False)
    _changes: dict[str, Note] = field(default_factory=dict, init=False)
    _notes: dict[str, Note] = field(default_factory=dict, init=False)
    _asked: float = field(default=float('-inf'), init=False)

    def open(self, plan: Sequence[Step], cluster: Cluster) -> None:
        """Become the manager of the folder's jobs, and take over those that an earlier one left.

        Raises:
            ConfigError: Another process manages them.
        """
        self._manager = self.book.manage()
        known = self.book.read()
        notes = {}
        for step in plan:
            note = replace(known.get(step.name, Note()), needs=step.needs)
            if is_done(step, self.folder):
                note = replace(note, state=DONE, why='')
            elif not note.is_live:
                note = replace(note, state=OPEN, why='')
            notes[step.name] = note
        self._notes = {**known, **notes}
        self.book.change(notes, cluster)
        self._find_lost_ids()
        for note in self._notes.values():
            if note.state == SUBMITTED and (job := self._described(note)):
                self._followed[note.id] = job
        self._ask(force=True)

    def close(self) -> None:
        """Write what is not written yet; the jobs go on."""
        self._write()
        if self._manager is not None:
            self._manager.end()
            self._manager = None

    def _find_lost_ids(self) -> None:
        """Find the jobs whose submission was interrupted before their id was stored."""
        lost = {name: note for name, note in self._notes.items() if note.state == SUBMITTING}
        if not lost:
            return
        while (found := self.scheduler.find({note.group for note in lost.values()})) is None:
            self.sleep(ASK_S)  # to submit again might run them twice
        for name, note in lost.items():
            if base := found.get(note.group):
                id_ = base if note.index is None else f'{base}_{note.index}'
                self._note(name, replace(note, state=SUBMITTED, id=id_))
            else:
                self._note(name, replace(note, state=OPEN))

    def _described(self, note: Note) -> Job | None:
        for path in self.folder.glob(f'*/jobs/{note.key}.job.json') if note.key else ():
            return parse_json(Job, path.read_text('utf-8'), str(path), ConfigError)
        return None

    # What execute() asks for.

    def has_room(self, step: Step) -> bool:
        """Always True for a job: a queue accepts any number."""
        return bool(step.gpus) or self.local.has_room(step)

    def claim(
        self, step: Step, home: Path, on_loss: Callable[[], None] = lambda: None
    ) -> Claim | None:
        """See :class:`mim_bench.suite.launching.Launcher`."""
        claim = self.local.claim(step, home, on_loss)
        if claim is None or not step.gpus:
            return claim
        claim.end()  # who manages the folder's jobs needs none while they run
        note = self._notes.get(step.name, Note())
        if not note.is_live:
            return claim
        if note.fingerprint == step.fingerprint or self._has_ended(note.id):
            return claim
        # A job with other inputs writes into the same folders: cancel it and wait for its end.
        self._cancel([note.id])
        return None

    def start(self, step: Step, words: Sequence[str], log: Path) -> Process:
        """See :class:`mim_bench.suite.launching.Launcher`."""
        if not step.gpus:
            return self.local.start(step, words, log)
        note = self._notes.get(step.name, Note())
        if note.state == SUBMITTED and note.fingerprint == step.fingerprint:
            job = self._followed.get(note.id)
            if job is not None and job.words == tuple(words) and self._may_end_well(job, note.id):
                return _JobProcess(self, _Submission(job, id=note.id))
        submission = _Submission(self._describe(step, words))
        self._waiting.append(submission)
        return _JobProcess(self, submission)

    def _may_end_well(self, job: Job, id_: str) -> bool:
        """Whether a job runs or has succeeded; False: it failed and is run again."""
        if not self._has_ended(id_):
            return True
        end = read_end(job.file('end'))
        return end is not None and end.status == 0

    def pause(self) -> None:
        """Submit what waits, ask the scheduler if it is time, and sleep."""
        self._submit_waiting()
        self._ask()
        self._write()
        self.sleep(_PAUSE_S)

    def ended(self, step: Step, error: str | None) -> None:
        """Note the end of a step."""
        note = self._notes.get(step.name, Note())
        words = (error or '').strip().splitlines()[-1:]
        state = DONE if error is None else FAILED
        self._followed.pop(note.id, None)
        self._note(step.name, replace(note, state=state, why=''.join(words)))

    # Submitting.

    def _describe(self, step: Step, words: Sequence[str], needs: Sequence[Step] = ()) -> Job:
        job = Job(uuid.uuid4().hex[:12], step, tuple(words), self.folder, tuple(needs))
        write_atomically({job.file('job'): adapter(Job).dump_json(job)})
        return job

    def _submit_waiting(self) -> None:
        due = [one for one in self._waiting if one.next_try <= self.clock()]
        for group in self._arrays(due):
            self._submit(group, [])
        self._waiting = [one for one in self._waiting if not one.id and not one.is_refused]

    def _arrays(self, submissions: Iterable[_Submission]) -> list[list[_Submission]]:
        """Groups of submissions with the same resources, which one array of jobs can hold."""
        groups: dict[str, list[_Submission]] = {}
        for one in submissions:
            step, is_alone = one.job.step, one.alone or not self.scheduler.has_arrays
            key = one.job.key if is_alone else f'{step.gpus} {step.resources.model_dump_json()}'
            groups.setdefault(key, []).append(one)
        return list(groups.values())

    def _submit(self, group: Sequence[_Submission], after: Sequence[str]) -> bool:
        """Submit jobs together; whether the scheduler took them."""
        jobs = [one.job for one in group]
        for index, job in enumerate(jobs):
            note = Note(
                state=SUBMITTING,
                key=job.key,
                group=jobs[0].key,
                index=index if len(jobs) > 1 else None,
                fingerprint=job.step.fingerprint,
                needs=job.step.needs,
            )
            self._note(job.step.name, note)
        self._write()
        try:
            ids = self.scheduler.submit(jobs, after)
        except SubmissionFailed as error:
            for one in group:
                self._note(one.job.step.name, replace(self._notes[one.job.step.name], state=OPEN))
                if len(group) > 1:  # perhaps one of them is to blame
                    one.alone = True
                    continue
                wait = BACKOFF_S[min(one.tries, len(BACKOFF_S) - 1)]
                one.tries, one.next_try, one.error = one.tries + 1, self.clock() + wait, str(error)
            return False
        for one, id_ in zip(group, ids, strict=True):
            one.id = id_
            self._followed[id_] = one.job
            self._note(
                one.job.step.name,
                replace(self._notes[one.job.step.name], state=SUBMITTED, id=id_),
            )
        self._write()
        return True

    def detach(self, plan: Sequence[Step]) -> 'Detached':
        """Submit all steps that are not done, each after those that it needs, and leave them.

        Steps that compute nothing become jobs, too.
        """
        result, ids = Detached(), dict[str, str]()
        steps = {step.name: step for step in plan}
        left = [step for step in plan if not self._is_settled(step, ids, result)]
        while left:
            ready = [s for s in left if all(need in ids for need in s.needs)]
            if not ready:
                result.not_submitted += [step.name for step in left]
                break
            waiting = []
            for step in ready:
                after = tuple(sorted(filter(None, {ids[need] for need in step.needs})))
                if after and not self.scheduler.can_wait:
                    result.not_submitted.append(step.name)
                    continue
                self._free(step)
                put_aside_other_inputs(step, self.folder)
                needs = [steps[need] for need in step.needs]
                job = self._describe(step, step.words, needs)
                waiting.append((after, _Submission(job)))
            for after in sorted({after for after, _ in waiting}):
                group = [one for its, one in waiting if its == after]
                self._submit_all(group, after)
                for one in group:
                    if one.id:
                        ids[one.job.step.name] = one.id
                        result.submitted[one.job.step.name] = one.id
                    else:
                        result.failed[one.job.step.name] = one.error
            left = [step for step in left if step not in ready]
        for name, error in result.failed.items():
            self._note(name, replace(self._notes[name], state=FAILED, why=error))
        self._write()
        return result

    def _is_settled(self, step: Step, ids: dict[str, str], result: 'Detached') -> bool:
        """Whether a step needs no job; the id of its present one, '' if it is done."""
        note = self._notes[step.name]
        if note.state == DONE:
            ids[step.name] = ''
            result.done.append(step.name)
            return True
        is_same = note.state == SUBMITTED and note.fingerprint == step.fingerprint
        if is_same and not self._has_ended(note.id):
            ids[step.name] = note.id
            result.in_queue[step.name] = note.id
            return True
        return False

    def _free(self, step: Step) -> None:
        """Wait until nothing else runs a step; a job with other inputs is cancelled."""
        home = self.folder / step.name
        home.mkdir(parents=True, exist_ok=True)
        while True:
            note = self._notes[step.name]
            has_job = note.state == SUBMITTED and not self._has_ended(note.id)
            claim = None if has_job else self.local.claim(step, home)
            if claim is not None:
                claim.end()
                return
            if has_job:
                self._cancel([note.id])
            self.sleep(_PAUSE_S)
            self._ask()

    def _submit_all(self, group: Sequence[_Submission], after: Sequence[str]) -> None:
        for alike in self._arrays(group):
            if self._submit(alike, after):
                continue
            for one in alike:
                while not one.id and not one.is_refused:
                    self.sleep(max(one.next_try - self.clock(), 0.0))
                    self._submit([one], after)

    # Following.

    def _ask(self, force: bool = False) -> None:
        if not self._followed or (not force and self.clock() - self._asked < ASK_S):
            return
        self._asked = self.clock()
        said = self.scheduler.states(self._followed)
        if said is None:
            return
        for id_, state in said.items():
            self._unknown[id_] = 0 if state else self._unknown.get(id_, 0) + 1
            if self._unknown[id_] >= _MOST_UNKNOWN:
                state = LOST
            name = self._followed[id_].step.name
            if state and self._said.get(id_) != state and self._notes[name].id == id_:
                self._note(name, replace(self._notes[name], said=state))
            self._said[id_] = state or self._said.get(id_, '')

    def _has_ended(self, id_: str) -> bool:
        return has_ended(self._said.get(id_, ''))

    def _note(self, name: str, note: Note) -> None:
        if self._notes.get(name) != note:
            self._notes[name] = self._changes[name] = note

    def _write(self) -> None:
        if self._changes:
            self.book.change(self._changes)
            self._changes = {}

    def cancel_asked(self) -> None:
        """Cancel, in one call, the jobs that are to end."""
        ids, self._to_cancel = self._to_cancel, set()
        self._cancel(ids)

    def _cancel(self, ids: Collection[str]) -> None:
        """Cancel, in one call, those of some jobs that were not cancelled before."""
        if new := sorted({*ids} - self._cancelled):
            self._cancelled.update(new)
            self.scheduler.cancel(new)


@dataclass
class Detached:
    """What ``--detach`` did.

    Attributes:
        submitted: Ids of new jobs by step.
        in_queue: Ids of jobs that were in the queue already.
        done: Steps that are done.
        failed: Steps that the scheduler did not take, with its words.
        not_submitted: Steps that wait for others.
    """

    submitted: dict[str, str] = field(default_factory=dict)
    in_queue: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    not_submitted: list[str] = field(default_factory=list)


class _JobProcess:
    """A job, as a process."""

    def __init__(self, launcher: ClusterLauncher, submission: _Submission) -> None:
        self._launcher, self._submission = launcher, submission
        self._late_until: float | None = None
        self._why = ''

    @property
    def pid(self) -> None:
        """None: it runs elsewhere."""

    def poll(self) -> int | None:
        """See :class:`mim_bench.suite.launching.Process`."""
        one, launcher = self._submission, self._launcher
        if one.is_refused:
            self._why = f'not submitted: {one.error}'
            return 1
        state = launcher._said.get(one.id, '')
        if not one.id or not (has_ended(state) or state == LOST):
            return None
        end = read_end(one.job.file('end'))
        if end is not None:
            self._why = end.why
            return end.status
        if cause_of_state(state) is None and self._is_early():
            return None  # the file may come
        return 1

    def _is_early(self) -> bool:
        now = self._launcher.clock()
        if self._late_until is None:
            self._late_until = now + _LATE_FILE_S
        return now < self._late_until

    def state(self) -> str | None:
        """See :class:`mim_bench.suite.launching.Process`."""
        return self._why or self._launcher._said.get(self._submission.id)

    def interrupt(self) -> None:
        """To be cancelled with all others by :meth:`stop`."""
        if self._submission.id:
            self._launcher._to_cancel.add(self._submission.id)
        else:
            self._submission.tries = len(BACKOFF_S) + 1

    def stop(self) -> None:
        """Cancel the job; it may save before it ends."""
        self.interrupt()
        self._launcher.cancel_asked()

    def abandon(self) -> None:
        """Leave the job in the queue."""


def cluster_launcher(out: Path, cluster: Cluster, local: LocalLauncher) -> ClusterLauncher:
    """The launcher of a suite's folder on a cluster.

    Raises:
        ConfigError: The scheduler is not there.
    """
    return ClusterLauncher(
        out / 'steps', local, scheduler_for(cluster, out / 'slurm'), JobBook(out)
    )


def refuse_live_jobs(plan: Sequence[Step], out: Path) -> None:
    """Refuse to run steps on this machine that a cluster runs.

    Raises:
        ConfigError: A job of a step may be in its queue.
    """
    notes = JobBook(out).read()
    live = [s.name for s in plan if s.name in notes and notes[s.name].is_live]
    if live:
        raise ConfigError(
            f'{out}: a cluster has {len(live)} of these steps in its queue ({first_of(live, 3)}). '
            'Follow them with the --executor that submitted them, or end them with '
            '`mim-bench cancel`.'
        )
