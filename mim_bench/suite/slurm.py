"""Runs steps as Slurm jobs through submitit; steps that compute nothing run locally."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from mim_bench.errors import ConfigError
from mim_bench.results.atomic import write_atomically
from mim_bench.suite.execute import is_done
from mim_bench.suite.guard import GRACE_S, die_with
from mim_bench.suite.launching import GUARD, Launcher, LocalLauncher, Process, command_of
from mim_bench.suite.locks import wait_for_lock
from mim_bench.suite.steps import Step

# Words of `--executor` -> submitit's names: Slurm jobs, local processes, this process.
CLUSTERS = {'slurm': 'slurm', 'submitit-local': 'local', 'submitit-debug': 'debug'}
_JOB_FILE = 'slurm_job.json'
_DEFAULT_HOURS = 72
_POLL_S = 0.2


@dataclass(frozen=True)
class JobSettings:
    """Slurm settings of a run.

    Attributes:
        partition: Partition; the cluster's default if None.
        hours: Time limit of a job; submitit then resubmits it, up to three times.
        cpus_per_gpu: Cores for each GPU.
        more: Further parameters of submitit, for example ``slurm_account``.
    """

    partition: str | None = None
    hours: float = _DEFAULT_HOURS
    cpus_per_gpu: int = 8
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass
class SlurmJob:
    """The function of a job; submitit pickles it and starts it again after a preemption.

    Attributes:
        step: The step.
        folder: Root of the steps' folders.
        words: Arguments of ``mim-bench``.
        log: The output is appended to it.
        environment: Variables added to the job's environment.
    """

    step: Step
    folder: Path
    words: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen | None = field(default=None, init=False, repr=False)

    def __call__(self) -> int:
        """Run the command unless another job did; returns its exit status, -n for signal n."""
        with wait_for_lock(self.log.with_name('job.lock')), self.log.open('a') as output:
            is_run = '--record-failure' not in self.words
            if is_run and is_done(self.step, self.folder):
                return 0
            self._process = subprocess.Popen(
                [*GUARD, *command_of(self.step, self.words)],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                # Slurm signals the whole group of a task; this one is told by `checkpoint`.
                start_new_session=True,
                preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM),
            )
            before = signal.signal(signal.SIGTERM, self._end)  # of a job that is cancelled
            try:
                # A blocking wait would hold a lock that the handlers of signals need.
                while (status := self._process.poll()) is None:
                    time.sleep(_POLL_S)
            finally:
                signal.signal(signal.SIGTERM, before)
            # As a shell, the guard tells of a signal by adding 128.
            return 128 - status if status > 128 else status

    def _end(self, *_: object) -> None:
        """Have the run save and end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def checkpoint(self) -> Any:
        """Have the run save and end; returns what submitit submits, so that it resumes.

        submitit calls it in the handler of the signal by which Slurm announces a preemption or the
        end of the job's time.
        """
        import submitit

        self._end()
        end = time.monotonic() + GRACE_S
        while self._process is not None and self._process.poll() is None:
            if time.monotonic() > end:
                break
            time.sleep(_POLL_S)
        return submitit.helpers.DelayedSubmission(replace(self))


class SlurmLauncher(Launcher):
    """Submits steps that use GPUs, and waits for them.

    If the suite ends before its jobs, they continue; a later suite waits for the jobs of
    its steps instead of submitting them again.

    Args:
        folder: Root of the steps' folders; all nodes must see it.
        local: Launcher of the other steps.
        cluster: A key of :data:`CLUSTERS`.
        settings: Slurm settings of the jobs.

    Raises:
        ConfigError: submitit is not installed.
    """

    def __init__(
        self,
        folder: Path,
        local: LocalLauncher,
        cluster: str = 'slurm',
        settings: JobSettings = JobSettings(),
    ) -> None:
        try:
            import submitit  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                "--executor slurm needs submitit: pip install 'mim-bench[slurm]'"
            ) from error
        self.folder, self.local = folder, local
        self.cluster, self.settings = CLUSTERS[cluster], settings

    def check(self, step: Step) -> None:
        """See :class:`mim_bench.suite.launching.Launcher`."""

    def has_room(self, step: Step) -> bool:
        """Always True: a queue accepts any number of jobs."""
        return bool(step.gpus) or self.local.has_room(step)

    def start(self, step: Step, words: Sequence[str], log: Path, lock: int) -> Process:
        """See :class:`mim_bench.suite.launching.Launcher`."""
        if not step.gpus:
            return self.local.start(step, words, log, lock)
        home = self.folder / step.name
        job = self._earlier_job(home)
        if job is None:
            job = self._submit(step, SlurmJob(step, self.folder, words, log), home)
        return _Job(job, home / _JOB_FILE)

    def _submit(self, step: Step, job: SlurmJob, home: Path) -> Any:
        import submitit

        executor = submitit.AutoExecutor(folder=home / 'slurm', cluster=self.cluster)
        settings = self.settings
        parameters: dict[str, Any] = {
            'name': step.name,
            'timeout_min': max(int(settings.hours * 60), 1),
            'nodes': 1,
            'tasks_per_node': 1,
            'cpus_per_task': settings.cpus_per_gpu * step.gpus,
        }
        if self.cluster == 'slurm':
            parameters['gpus_per_node'] = step.gpus
            if settings.partition:
                parameters['slurm_partition'] = settings.partition
            parameters |= dict(settings.more)
        executor.update_parameters(**parameters)
        submitted = executor.submit(job)
        if self.cluster == 'slurm':
            data = {'job_id': submitted.job_id, 'fingerprint': step.fingerprint}
            write_atomically({home / _JOB_FILE: json.dumps(data).encode()})
        return submitted

    def _earlier_job(self, home: Path) -> Any | None:
        """The job that an earlier suite left in the queue, if it still exists."""
        try:
            data = json.loads((home / _JOB_FILE).read_text())
        except (OSError, ValueError):
            return None
        import submitit

        job = submitit.SlurmJob(folder=home / 'slurm', job_id=data['job_id'])
        if job.done(force_check=True):
            return None
        same = (home / 'started').read_text() == data['fingerprint']
        if same:
            return job
        job.cancel()  # its inputs changed
        return None


class _Job:
    """A submitted job, as a process."""

    def __init__(self, job: Any, note: Path) -> None:
        self._job, self._note = job, note

    def poll(self) -> int | None:
        """See :class:`mim_bench.suite.launching.Process`."""
        import submitit

        if not self._job.done():
            return None
        self._note.unlink(missing_ok=True)
        try:
            return self._job.result()
        except (
            submitit.core.utils.UncompletedJobError,
            submitit.core.utils.FailedJobError,
        ):
            return 1  # killed or timed out; its state says more

    def state(self) -> str | None:
        """See :class:`mim_bench.suite.launching.Process`."""
        return self._job.state

    def interrupt(self) -> None:
        """Jobs are cancelled by :meth:`stop`; Slurm does so by SIGTERM."""

    def stop(self) -> None:
        """Cancel the job."""
        self._job.cancel(check=False)
        self._note.unlink(missing_ok=True)
