"""Runs the processes of a step on a node of its job, and lets them save when the job ends.

``python -m mim_bench.suite.job FILE`` runs the job that a file describes; Slurm's are started by
submitit. The first node of the step writes, beside that file, how the job ended and a heartbeat.
A job never waits for a lock, and asks the file system for nothing while it runs.
"""

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mim_bench.errors import ConfigError, RunInterrupted
from mim_bench.files.atomic import write_atomically
from mim_bench.files.validation import adapter, parse_json
from mim_bench.suite.done import checkpoints_of, is_done, mark_done
from mim_bench.suite.endings import MOST_IDLE_INTERRUPTIONS
from mim_bench.suite.guard import GRACE_S, STOP_SIGNALS
from mim_bench.suite.launching import (
    COMPUTING,
    ONE_NODE,
    command_of,
    start_guarded,
    status_behind_guard,
)
from mim_bench.suite.steps import Step

_POLL_S = 0.2
BEAT_S = 30.0
# Time for the nodes of a run to find each other.
_MEETING_S = 900


@dataclass(frozen=True)
class Job:
    """One submission of a step.

    Attributes:
        key: Unique name.
        step: The step.
        words: Arguments of ``mim-bench``.
        folder: Root of the steps' folders.
        needs: Steps that must be done.
    """

    key: str
    step: Step
    words: tuple[str, ...]
    folder: Path
    needs: tuple[Step, ...] = ()

    @property
    def home(self) -> Path:
        """Folder of the step."""
        return self.folder / self.step.name

    def file(self, kind: str) -> Path:
        """A file of this submission: ``job`` (this object), ``end``, ``beat`` or ``idle``."""
        return self.home / 'jobs' / f'{self.key}.{kind}.json'


@dataclass(frozen=True)
class End:
    """How a job ended.

    Attributes:
        status: Exit status of its command; -n for signal n.
        why: A reason beyond the status, or ''.
    """

    status: int
    why: str = ''


def read_end(path: Path) -> End | None:
    """How a job ended, from its file ``end``; None if it did not say."""
    try:
        return parse_json(End, path.read_text('utf-8'), str(path), ConfigError)
    except FileNotFoundError:
        return None


@dataclass(frozen=True)
class Node:
    """Place of a node in its job.

    Attributes:
        is_first: Whether the others meet here.
        first: Address of the first node.
        own: Address of this node; None: its host name.
        port: Port of the rendezvous.
        index: Number of the node, for the name of its log.
    """

    is_first: bool
    first: str
    own: str | None
    port: int
    index: str


class JobFailed(Exception):  # noqa: N818  submitit stores it
    """The command of a job failed; makes the job fail for its scheduler, too."""


@dataclass
class JobRun:
    """Runs a job on one node; submitit stores it, and starts it again after an interruption.

    Attributes:
        path: Description of the job.
    """

    path: Path
    _process: subprocess.Popen | None = field(default=None, init=False, repr=False)
    _is_told: bool = field(default=False, init=False, repr=False)

    def __call__(self) -> int:
        """Run the command unless the step is done.

        Raises:
            JobFailed: It ended with another status than 0.
        """
        job = parse_json(Job, self.path.read_text('utf-8'), str(self.path))
        node = this_node(job.step.resources.nodes, job.key)
        if node.is_first:  # an earlier attempt of this job wrote it
            job.file('end').unlink(missing_ok=True)
        is_run = '--record-failure' not in job.words
        if is_run and is_done(job.step, job.folder):
            return self._ended(job, node, End(0))
        missing = [step.name for step in job.needs if not is_done(step, job.folder)]
        if missing:
            return self._ended(job, node, End(1, f'{", ".join(missing)} is not done'))
        before = checkpoints_of(job.step)
        status = self._run(job, node)
        if status == RunInterrupted.exit_status and job.step.words[0] in COMPUTING:
            why = count_idle(job, before) if node.is_first else None
            if why is None and node.is_first and not self._is_told:
                requeue()
            return self._ended(job, node, End(status, why or ''))
        if status == 0 and node.is_first and is_run:
            mark_done(job.step, job.folder)
        return self._ended(job, node, End(status))

    def _ended(self, job: Job, node: Node, end: End) -> int:
        if node.is_first:
            write_atomically({job.file('end'): adapter(End).dump_json(end)})
        if end.status:
            raise JobFailed(f'{job.step.name}: exit status {end.status} {end.why}'.strip())
        return 0

    def _run(self, job: Job, node: Node) -> int:
        log = job.home / ('log.txt' if node.is_first else f'log-{node.index}.txt')
        command = command_of(job.step, limited(job), meeting_of(job, node))
        self._process = start_guarded(command, log)
        before = []
        for number in STOP_SIGNALS:
            # Keep submitit's handler, which calls `checkpoint`.
            if number == signal.SIGTERM or signal.getsignal(number) == signal.SIG_DFL:
                before.append((number, signal.signal(number, self._tell)))
        try:
            return status_behind_guard(self._wait(job.file('beat') if node.is_first else None))
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    def _wait(self, beat: Path | None) -> int:
        beats, last = 0, -BEAT_S
        # A blocking wait would hold a lock that the handlers of signals need.
        while (status := self._process.poll()) is None:
            if beat is not None and time.monotonic() - last >= BEAT_S:
                last, beats = time.monotonic(), beats + 1
                write_atomically({beat: f'{beats}'.encode()})
            time.sleep(_POLL_S)
        return status

    def _tell(self, *_: object) -> None:
        """Signal the run to save and end."""
        self._is_told = True
        if self._lives():
            os.kill(self._process.pid, signal.SIGTERM)

    def _lives(self) -> bool:
        """Whether the command runs; for handlers of signals, which may have interrupted poll()."""
        if self._process is None or self._process.returncode is not None:
            return False
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self._process.pid, flags) is None
        except ChildProcessError:
            return False

    def checkpoint(self) -> Any:
        """Have the run save and end; return what submitit queues again.

        submitit calls it in the handler of the signal by which Slurm announces the end of the
        job's time, or a preemption.

        Returns:
            The job, or None if it is not to be queued again.
        """
        import submitit

        job = parse_json(Job, self.path.read_text('utf-8'), str(self.path))
        before = checkpoints_of(job.step)
        self._tell()
        limit = time.monotonic() + GRACE_S
        while self._lives() and time.monotonic() < limit:
            time.sleep(_POLL_S)
        if why := count_idle(job, before):
            end = End(RunInterrupted.exit_status, why)
            write_atomically({job.file('end'): adapter(End).dump_json(end)})
            return None
        return submitit.helpers.DelayedSubmission(replace(self))


def this_node(num_nodes: int, key: str, environment: Mapping[str, str] = os.environ) -> Node:
    """This node's place in its job, from the variables of the scheduler.

    The first node is that of the Slurm step: another step may use the first node of the job.

    Raises:
        ConfigError: There are several nodes, and no variable names the first one.
    """
    own = environment.get('SLURMD_NODENAME')
    host = own or os.uname().nodename
    job = environment.get('SLURM_JOB_ID')
    port = 20_000 + (int(job) if job else zlib.crc32(key.encode())) % 20_000
    if num_nodes == 1:
        return Node(True, host, own, port, '0')
    if nodes := environment.get('SLURM_STEP_NODELIST', environment.get('SLURM_JOB_NODELIST')):
        first = _first_of(nodes)
        is_first = environment.get('SLURM_NODEID', '') == '0'
        return Node(is_first, first, own, port, environment.get('SLURM_NODEID', host))
    first = environment.get('MASTER_ADDR') or _first_in_file(environment)
    if first is None:
        raise ConfigError(
            f'A run on {num_nodes} nodes needs the address of the first one: its scheduler sets '
            'none of PBS_NODEFILE, LSB_DJOB_HOSTFILE and PE_HOSTFILE. Set MASTER_ADDR in the '
            "command that submits, or in the cluster's setup."
        )
    is_first = environment.get('NODE_RANK', '') == '0' or first.split('.')[0] == host.split('.')[0]
    return Node(is_first, first, own, port, environment.get('NODE_RANK', host))


def _first_of(nodes: str) -> str:
    done = subprocess.run(
        ['scontrol', 'show', 'hostnames', nodes], capture_output=True, text=True, check=True
    )
    return done.stdout.split()[0]


def _first_in_file(environment: Mapping[str, str]) -> str | None:
    for name in ('PBS_NODEFILE', 'LSB_DJOB_HOSTFILE', 'PE_HOSTFILE'):
        if name in environment:
            return Path(environment[name]).read_text().split()[0]
    return None


def meeting_of(job: Job, node: Node) -> Sequence[str]:
    """The arguments of torchrun by which the nodes of a job find each other."""
    num_nodes = job.step.resources.nodes
    if num_nodes == 1:
        return ONE_NODE
    address = [f'--local-addr={node.own}'] if node.own else []
    return [
        f'--nnodes={num_nodes}',
        '--rdzv-backend=c10d',
        f'--rdzv-endpoint={node.first}:{node.port}',
        f'--rdzv-id={job.key}',
        f'--rdzv-conf=is_host={int(node.is_first)},join_timeout={_MEETING_S}',
        *address,
    ]


def limited(job: Job, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The words of a job, with its time limit where a training cannot ask the scheduler."""
    hours = job.step.resources.hours
    if job.words[0] != 'train' or hours is None or 'SLURM_JOB_END_TIME' in environment:
        return job.words
    return (*job.words, '--time-limit', f'{hours:g}')


def count_idle(job: Job, before: set) -> str | None:
    """Count interruptions that left no new checkpoint; the reason to give up, or None.

    Args:
        job: The job that was interrupted.
        before: Its checkpoints when it began.
    """
    file = job.file('idle')
    idle = json.loads(file.read_text()) if file.exists() else 0
    idle = idle + 1 if checkpoints_of(job.step) == before else 0
    write_atomically({file: json.dumps(idle).encode()})
    if idle < MOST_IDLE_INTERRUPTIONS:
        return None
    return f'interrupted {idle} times in a row without a new checkpoint'


def requeue() -> None:
    """Have Slurm start this job again, from the beginning of its queue."""
    name = os.environ.get('SLURM_ARRAY_JOB_ID')
    job = f'{name}_{os.environ["SLURM_ARRAY_TASK_ID"]}' if name else os.environ.get('SLURM_JOB_ID')
    if job is not None:
        subprocess.run(['scontrol', 'requeue', job], check=False, timeout=60)


def main(words: list[str]) -> int:
    """Run the job that a file describes; the exit status is that of its command."""
    try:
        JobRun(Path(words[0]))()
    except JobFailed:
        end = read_end(Path(words[0].removesuffix('.job.json') + '.end.json'))
        status = end.status if end is not None else 1
        return status if status > 0 else 128 - status
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
