"""Schedulers that run jobs: Slurm through submitit, and any other through command templates."""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mim_bench.errors import ConfigError, MimBenchError
from mim_bench.files.atomic import write_atomically
from mim_bench.suite.job import BEAT_S, Job, JobRun, read_end
from mim_bench.suite.resources import Cluster, Resources

# Slurm announces the end of a job this long before it.
SIGNAL_S = 180
_ASK_S = 120
_COMMENT = 'mim-bench'
# submitit counts the requests to be queued again; a run may take months.
_MOST_REQUEUES = 10_000
# States in which a job runs no more and will not run again.
ENDED = (
    'COMPLETED', 'FAILED', 'TIMEOUT', 'DEADLINE', 'OUT_OF_MEMORY', 'NODE_FAIL', 'BOOT_FAIL',
    'PREEMPTED', 'CANCELLED', 'REVOKED',
)  # fmt: skip
# Without a status command, a job is lost after this many missing heartbeats.
_MOST_MISSED = 10


class SubmissionFailed(MimBenchError):  # noqa: N818
    """A scheduler did not take a job."""


def has_ended(state: str) -> bool:
    """Whether a state of Slurm, for example ``CANCELLED by 0``, is an end."""
    return bool(state) and state.split()[0].rstrip('+') in ENDED


class Scheduler(Protocol):
    """Takes jobs and says what became of them.

    Attributes:
        has_arrays: Whether several jobs can be submitted at once.
        can_wait: Whether a job can wait for others in the queue.
    """

    has_arrays: bool
    can_wait: bool

    def submit(self, jobs: Sequence[Job], after: Sequence[str]) -> list[str]:
        """Submit jobs that ask for the same; returns their ids.

        Args:
            jobs: Their descriptions are written.
            after: Ids of jobs that must have ended well before.

        Raises:
            SubmissionFailed: The scheduler refused, or did not answer.
        """

    def states(self, jobs: Mapping[str, Job]) -> dict[str, str] | None:
        """The states of jobs by id, in Slurm's words; '' where nothing is known.

        Returns:
            None if the scheduler did not answer.
        """

    def find(self, keys: Collection[str]) -> dict[str, str] | None:
        """Ids of live jobs by the key of their first one; None if unknown."""

    def cancel(self, ids: Sequence[str]) -> None:
        """Cancel jobs; they may save before they end."""


def scheduler_for(cluster: Cluster, folder: Path) -> Scheduler:
    """The scheduler of a cluster.

    Args:
        cluster: The cluster.
        folder: Gets job files and what jobs print before their step begins.

    Raises:
        ConfigError: submitit or Slurm is not there.
    """
    return SlurmScheduler(folder) if cluster.executor == 'slurm' else CommandScheduler(cluster)


class SlurmScheduler:
    """Slurm; submitit writes the job files and queues jobs again that were interrupted.

    Args:
        folder: Gets submitit's files; all nodes must see it.

    Raises:
        ConfigError: submitit or Slurm's commands are not installed.
    """

    has_arrays = can_wait = True

    def __init__(self, folder: Path) -> None:
        try:
            import submitit
        except ImportError as error:
            raise ConfigError(
                "--executor slurm needs submitit: pip install 'mim-bench[slurm]'"
            ) from error
        self._folder = folder
        try:
            submitit.SlurmExecutor(folder)
        except RuntimeError as error:
            raise ConfigError(
                'There is no srun on this machine. Run on a login node of the Slurm cluster, or '
                'take another --executor.'
            ) from error

    def submit(self, jobs: Sequence[Job], after: Sequence[str]) -> list[str]:
        """See :class:`Scheduler`."""
        import submitit

        executor = submitit.SlurmExecutor(self._folder, max_num_timeout=_MOST_REQUEUES)
        try:
            executor.update_parameters(**slurm_parameters(jobs[0], after))
            submitted = executor.submit_array([JobRun(job.file('job')) for job in jobs])
        except (
            submitit.core.utils.FailedJobError,
            submitit.core.utils.FailedSubmissionError,
            subprocess.SubprocessError,
            OSError,
            ValueError,
        ) as error:
            raise SubmissionFailed(_last_words(error)) from error
        return [job.job_id for job in submitted]

    def states(self, jobs: Mapping[str, Job]) -> dict[str, str] | None:
        """See :class:`Scheduler`. One ``squeue``, and one ``sacct`` for those that it lacks."""
        listed = self._queue()
        if listed is None:
            return None
        found = {job: state for job, state, _ in listed}
        gone = [job for job in jobs if job not in found]
        if gone:
            bases = sorted({job.partition('_')[0] for job in gone})
            words = ['sacct', '-X', '-n', '-P', '-o', 'JobID,State', '-j', ','.join(bases)]
            for line in (_ask(words) or '').splitlines():
                job, _, state = line.partition('|')
                found.setdefault(job, state)
        return {job: found.get(job, '') for job in jobs}

    def find(self, keys: Collection[str]) -> dict[str, str] | None:
        """See :class:`Scheduler`."""
        listed = self._queue()
        if listed is None:
            return None
        found: dict[str, str] = {}
        for job, state, comment in listed:
            program, _, key = comment.partition(' ')
            if program == _COMMENT and key in keys and not has_ended(state):
                found[key] = job.partition('_')[0]
        return found

    def _queue(self) -> list[tuple[str, str, str]] | None:
        """Id, state and comment of this user's jobs that live or ended lately."""
        told = _ask(['squeue', '--me', '-h', '-r', '-t', 'all', '-o', '%i|%T|%k'])
        if told is None:
            return None
        return [tuple((line + '||').split('|')[:3]) for line in told.splitlines() if line]

    def cancel(self, ids: Sequence[str]) -> None:
        """See :class:`Scheduler`."""
        if ids:
            _ask(['scancel', *ids])


def slurm_parameters(job: Job, after: Sequence[str]) -> dict[str, Any]:
    """The parameters of submitit for a job."""
    step, asked = job.step, job.step.resources
    options = {'requeue': True, **asked.options}
    if after:
        # A job whose need failed would wait for ever.
        options |= {'dependency': f'afterok:{":".join(after)}', 'kill-on-invalid-dep': 'yes'}
    parameters = {
        'job_name': step.name,
        'comment': f'{_COMMENT} {job.key}',
        'time': max(round(asked.hours * 60), 1),
        'nodes': asked.nodes,
        'ntasks_per_node': 1,
        'gpus_per_node': step.gpus or None,
        'cpus_per_task': asked.cpus_per_gpu * max(step.gpus, 1),
        'mem': None if asked.memory_gb is None else f'{round(asked.memory_gb * 1024)}M',
        'signal_delay_s': SIGNAL_S,
        'setup': list(asked.setup) or None,
        'srun_args': ['--kill-on-bad-exit=1'],
        'additional_parameters': options,
    }
    names = ('partition', 'account', 'qos', 'constraint', 'exclude')
    parameters |= {name: getattr(asked, name) for name in names}
    if asked.reservation:
        options['reservation'] = asked.reservation
    return {name: value for name, value in parameters.items() if value is not None}


class CommandScheduler:
    """Any scheduler whose commands a cluster states as templates.

    The script starts the step's processes on the node where it runs; for a run on several nodes
    the scheduler must run it on each. Without a status command, a job waits until its heartbeat
    begins, and is lost when that stops.
    """

    has_arrays = False

    def __init__(self, cluster: Cluster, clock: Callable[[], float] = time.monotonic) -> None:
        self.can_wait = cluster.after_option is not None
        self._cluster, self._clock = cluster, clock
        self._beats: dict[str, tuple[str, float]] = {}

    def submit(self, jobs: Sequence[Job], after: Sequence[str]) -> list[str]:
        """See :class:`Scheduler`."""
        ids = []
        for job in jobs:
            script = job.file('job').with_suffix('.sh')
            command = shlex.join(
                [sys.executable, '-m', 'mim_bench.suite.job', str(job.file('job'))]
            )
            lines = ['#!/usr/bin/env bash', *job.step.resources.setup, f'exec {command}']
            write_atomically({script: ('\n'.join(lines) + '\n').encode()})
            script.chmod(0o755)
            told = _ask(self._submission(_facts(job, script), after), check=True)
            words = re.findall(r'[\w.\-\[\]@]+', told)
            if not words:
                raise SubmissionFailed('the submitting command printed no id')
            ids.append(words[-1].strip('.'))
        return ids

    def _submission(self, facts: Mapping[str, str], after: Sequence[str]) -> list[str]:
        words = fill(self._cluster.submit_command, facts)
        if after:
            option = fill(self._cluster.after_option, {**facts, 'after': ':'.join(after)})
            words[1:1] = option
        return words

    def states(self, jobs: Mapping[str, Job]) -> dict[str, str] | None:
        """See :class:`Scheduler`."""
        found = {}
        for id_, job in jobs.items():
            if (end := read_end(job.file('end'))) is not None:
                found[id_] = 'FAILED' if end.status else 'COMPLETED'
            elif self._cluster.status_command is not None:
                told = _ask(fill(self._cluster.status_command, {'id': id_}))
                if told is None:
                    return None
                found[id_] = told.strip()
            else:
                found[id_] = self._by_heartbeat(job)
        return found

    def _by_heartbeat(self, job: Job) -> str:
        try:
            beat = job.file('beat').read_text()
        except OSError:
            return 'PENDING'
        seen, since = self._beats.get(job.key, ('', 0.0))
        if beat != seen:
            self._beats[job.key] = (beat, self._clock())
            return 'RUNNING'
        return 'NODE_FAIL' if self._clock() - since > _MOST_MISSED * BEAT_S else 'RUNNING'

    def find(self, keys: Collection[str]) -> dict[str, str] | None:
        """See :class:`Scheduler`. Always empty: the commands cannot list jobs."""
        return {}

    def cancel(self, ids: Sequence[str]) -> None:
        """See :class:`Scheduler`."""
        if self._cluster.cancel_command is None:
            raise ConfigError(
                'Nothing says how to cancel jobs. Give --cancel-command, or cancel these '
                f'yourself: {", ".join(ids)}.'
            )
        for id_ in ids:
            _ask(fill(self._cluster.cancel_command, {'id': id_}))


def _facts(job: Job, script: Path) -> dict[str, str]:
    """What a template may name."""
    asked: Resources = job.step.resources
    minutes = round((asked.hours or 0) * 60)
    given = asked.model_dump(exclude={'options', 'setup', 'gpus_per_node', 'cpus_per_gpu'})
    return {
        **{name: '' if value is None else f'{value}' for name, value in given.items()},
        **{name: f'{value}' for name, value in asked.options.items()},
        'name': job.step.name,
        'script': str(script),
        'log': str(job.file('job').with_suffix('.out')),
        'gpus': f'{job.step.gpus}',
        'cpus': f'{asked.cpus_per_gpu * max(job.step.gpus, 1)}',
        'memory_mb': f'{round((asked.memory_gb or 0) * 1024)}',
        'minutes': f'{minutes}',
        'time': f'{minutes // 60:02}:{minutes % 60:02}:00',
    }


def fill(template: str, facts: Mapping[str, str]) -> list[str]:
    """The words of a template; a value never becomes several words.

    Raises:
        ConfigError: It names an unknown field.
    """
    try:
        return [word.format(**facts) for word in shlex.split(template)]
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(
            f'The template {template!r} is wrong ({error!r}). It may name '
            f'{", ".join("{" + name + "}" for name in facts)}.'
        ) from None


def _ask(words: Sequence[str], check: bool = False) -> str | None:
    """What a scheduler's command prints; None if it fails and that does not matter.

    Raises:
        SubmissionFailed: It fails, and ``check`` is set.
    """
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=_ASK_S, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        if check:
            raise SubmissionFailed(_last_words(error)) from error
        return None
    return done.stdout


def _last_words(error: Exception) -> str:
    """The error output of a failed command, on one line."""
    said = getattr(error, 'stderr', None) or str(error)
    lines = said.decode(errors='replace') if isinstance(said, bytes) else said
    return ' '.join(lines.split())[-300:] or repr(error)
