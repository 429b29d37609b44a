"""A Slurm controller for tests: real commands on the path; the test controls time and failures.

``FakeSlurm(folder)`` writes the commands of :mod:`mim_bench.testing.fake_slurm` into a folder for
PATH. :meth:`FakeSlurm.tick` lets time pass: it starts what may start, as Slurm would (the script of
the job under ``bash``, ``srun`` one task a node), and ends what is cancelled.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mim_bench.suite.guard import children, descendants
from mim_bench.testing.fake_slurm import COMMANDS, LIVE, STATE, opened


@dataclass
class FakeSlurm:
    """The controller, in the test's process.

    Attributes:
        folder: Its commands, in ``bin``, and its state.
        slots: Jobs that run at a time.
        limits: The most that a job file may ask for, by option.
        start: Starts a job; :func:`start_job` if None.
        running: Processes of the jobs that run.
    """

    folder: Path
    slots: int = 4
    limits: Mapping[str, int] = field(default_factory=dict)
    start: Callable[['FakeSlurm', dict], subprocess.Popen] | None = None
    running: dict[str, subprocess.Popen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / 'bin').mkdir(parents=True)
        home = str(Path(__file__).parent)
        for name in COMMANDS:
            program = self.folder / 'bin' / name
            # Without site-packages and the package's own imports, for speed.
            program.write_text(
                f'#!{sys.executable} -SE\nimport sys\nsys.path.append({home!r})\n'
                f'from fake_slurm import main\nsys.exit(main({name!r}, sys.argv[1:]))\n'
            )
            program.chmod(0o755)
        faults = dict.fromkeys(('sbatch', 'squeue', 'sacct'), 0)
        state = {'next': 100, 'jobs': {}, 'faults': faults, 'limits': dict(self.limits)}
        (self.folder / 'state.json').write_text(json.dumps({**state, 'calls': []}))

    def environment(self) -> dict[str, str]:
        """Environment variables of processes that use this cluster."""
        return {STATE: str(self.folder), 'PATH': f'{self.folder / "bin"}:{os.environ["PATH"]}'}

    def state(self):
        """The state, as a context; changes are written."""
        return opened(self.folder)

    def jobs(self) -> dict[str, dict]:
        """All jobs by id."""
        with self.state() as state:
            return state['jobs']

    def fault(self, command: str, times: int) -> None:
        """Have a command fail so often; ``sbatch`` with a negative number takes the job first."""
        with self.state() as state:
            state['faults'][command] = times

    def tick(self) -> None:
        """End what ended or is cancelled, then start what can start."""
        for id_, job in self.jobs().items():
            if job.get('fate') == 'cancel' and id_ in self.running:
                self.end(id_, 'CANCELLED by 0', signal.SIGTERM)
        with self.state() as state:
            for job in state['jobs'].values():
                self._look_at(job)
            for job in sorted(state['jobs'].values(), key=lambda job: job['order']):
                if job['state'] == 'PENDING':
                    self._consider(job, state)

    def _look_at(self, job: dict) -> None:
        if job.get('fate') == 'cancel' and job['state'] == 'PENDING':
            job['state'] = 'CANCELLED by 0'
        process = self.running.get(job['id'])
        if process is None:
            return
        if process.poll() is not None:
            self._reap(job, 'COMPLETED' if process.poll() == 0 else 'FAILED')

    def end(
        self, id_: str, state: str, number: int = signal.SIGKILL, requeue: bool = False
    ) -> None:
        """End a running job by a signal, in a state."""
        with self.state() as book:
            job = book['jobs'][id_]
            job['requeue'] = job['requeue'] or requeue
            self._signal(self.running[id_], number)
        process = self.running[id_]  # its own commands need the state meanwhile
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        with self.state() as book:
            self._reap(book['jobs'][id_], state)

    def close(self) -> None:
        """Kill what runs."""
        for process in self.running.values():
            self._signal(process, signal.SIGKILL)

    def announce_end(self, id_: str) -> None:
        """Send the signal that the job file asks for, and wait for the job's end."""
        with self.state() as book:
            number = getattr(signal, 'SIG' + book['jobs'][id_]['options']['signal'].split('@')[0])
        self.end(id_, 'TIMEOUT', number)

    def _reap(self, job: dict, state: str) -> None:
        process = self.running.pop(job['id'])
        self._signal(process, signal.SIGKILL)
        job['state'], job['pid'] = state, None
        if job['requeue']:
            job.update(state='PENDING', requeue=False, restarts=job['restarts'] + 1)

    @staticmethod
    def _signal(process: subprocess.Popen, number: int) -> None:
        """Kill all of a job, or signal its tasks, which srun and not the script passes on."""
        told = children(process.pid)
        if number == signal.SIGKILL:  # from the leaves on: who loses its parent might still save
            told = [*reversed(descendants(process.pid)), process.pid]
        for pid in told:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _consider(self, job: dict, state: dict) -> None:
        needs = job['options'].get('dependency', '').removeprefix('afterok:').split(':')
        ends = [state['jobs'][need]['state'] for need in needs if need]
        if any(end not in LIVE and end != 'COMPLETED' for end in ends):
            job['state'] = 'CANCELLED'
        elif all(end == 'COMPLETED' for end in ends) and len(self.running) < self.slots:
            job['state'] = 'RUNNING'
            self.running[job['id']] = (self.start or start_job)(self, job)


def job_environment(slurm: FakeSlurm, job: dict) -> dict[str, str]:
    """The variables that Slurm sets in a job."""
    nodes = int(job['options'].get('nodes', 1))
    number = job['base'] if job['index'] is None else job['base'] * 1000 + job['index']
    found = {
        'SLURM_JOB_ID': f'{number}',
        'SLURM_JOB_NUM_NODES': f'{nodes}',
        'SLURM_JOB_NODELIST': 'node1' if nodes == 1 else f'node[1-{nodes}]',
        'SLURM_RESTART_COUNT': f'{job["restarts"]}',
    }
    if job['index'] is not None:
        found |= {'SLURM_ARRAY_JOB_ID': f'{job["base"]}', 'SLURM_ARRAY_TASK_ID': f'{job["index"]}'}
    return {**os.environ, **slurm.environment(), **found}


def start_job(slurm: FakeSlurm, job: dict) -> subprocess.Popen:
    """Run the script of a job."""
    log = (slurm.folder / f'{job["id"]}.out').open('a')
    return subprocess.Popen(
        ['bash', job['script']], env=job_environment(slurm, job), stdout=log, stderr=log,
        start_new_session=True,
    )  # fmt: skip
