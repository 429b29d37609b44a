"""Starts the commands of steps on free GPUs or cores of this machine."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from mim_bench.errors import ConfigError
from mim_bench.suite import guard
from mim_bench.suite.guard import GRACE_S, die_with
from mim_bench.suite.leases import Lease
from mim_bench.suite.steps import Step

POLL_SECONDS = 0.1
COMPUTING = ('train', 'test')
# torchrun finds a free port.
ONE_NODE = ('--standalone', '--local-addr=127.0.0.1')
# Run as a file that imports no package, since a suite starts it hundreds of times.
GUARD = (sys.executable, '-I', '-S', guard.__file__)


class Process(Protocol):
    """A running step."""

    @property
    def pid(self) -> int | None:
        """Id of the process on this machine that runs the step; None: it runs elsewhere."""

    def poll(self) -> int | None:
        """The exit status once it has ended, else None; its resources are free then."""

    def state(self) -> str | None:
        """State that a scheduler reports; None without a scheduler."""

    def interrupt(self) -> None:
        """Ask it to save and end, without waiting."""

    def stop(self) -> None:
        """End the step and all its processes, after a training has had the time to save."""

    def abandon(self) -> None:
        """End the step as the suite ends, unless the step outlives the suite."""


class Claim:
    """The right of this process to run a step.

    Args:
        lease: The lease of the step, which this process holds.
        home: Folder of the step.
    """

    def __init__(self, lease: Lease, home: Path) -> None:
        self._lease, self._file = lease, home / 'process'

    def note(self, process: Process) -> None:
        """Write down which process runs the step: it may outlive the suite while it saves."""
        if process.pid is not None:
            name = f'{os.uname().nodename} {process.pid} {process_start(process.pid)}'
            self._file.write_text(name)

    def end(self) -> None:
        """Release the lease."""
        self._lease.end()

    @property
    def is_in_use(self) -> bool:
        """Whether the process that an earlier suite started still runs."""
        try:
            host, pid, start = self._file.read_text().split()
        except (OSError, ValueError):
            return False
        return host == os.uname().nodename and start == process_start(int(pid))


def process_start(pid: int) -> str | None:
    """Start time of a process of this machine, in ticks; None if it has ended."""
    try:
        facts = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    except OSError:
        return None
    return None if facts[0] == 'Z' else facts[19]


class Launcher(Protocol):
    """Starts steps on some resource."""

    workers: int = 1
    """Number of parallel steps, from which the remaining time of a plan is estimated."""

    def check(self, step: Step) -> None:
        """Refuse a step that can never run here.

        Raises:
            ConfigError: The reason.
        """

    def has_room(self, step: Step) -> bool:
        """Whether the step can start now."""

    def claim(self, step: Step, home: Path, on_loss: Callable[[], None]) -> Claim | None:
        """Take the right to run a step; None if another suite, or a process that it left, runs it.

        Args:
            step: The step.
            home: Its folder.
            on_loss: Called in another thread if another suite takes the lease over.
        """

    def start(self, step: Step, words: Sequence[str], log: Path) -> Process:
        """Start a step's command on free resources.

        Args:
            step: The step, which states its resources.
            words: Arguments of ``mim-bench``.
            log: File to which the output is appended.
        """

    def ended(self, step: Step, error: str | None) -> None:
        """A step ended; ``error`` says why it failed."""

    def pause(self) -> None:
        """Wait until it is worth asking the processes again."""


class LocalLauncher(Launcher):
    """Runs steps as subprocesses; each GPU is used by one of them at a time.

    Args:
        gpus: Identifiers for ``CUDA_VISIBLE_DEVICES``. Without GPUs, steps share the cores.
        workers: Maximal number of parallel subprocesses that use no GPU.
        environment: Variables added to the subprocesses' environment.
    """

    def __init__(
        self,
        *,
        gpus: Sequence[str] = (),
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.gpus, self.workers = list(gpus), workers
        self.environment = dict(environment or {})
        self._free_gpus, self._free_workers = list(gpus), workers
        self._leases: dict[Path, Lease] = {}

    def check(self, step: Step) -> None:
        """See :class:`Launcher`."""
        if step.resources.nodes > 1:
            raise ConfigError(
                f'{step.name} takes {step.resources.nodes} nodes, but --executor local has this '
                'machine only. Take --executor slurm or command.'
            )
        if self.gpus and step.gpus > len(self.gpus):
            raise ConfigError(
                f'{step.name} takes {step.gpus} GPUs, but only {len(self.gpus)} may be used. Give '
                'a smaller --gpus-per-run, or more --gpus.'
            )

    def has_room(self, step: Step) -> bool:
        """See :class:`Launcher`."""
        gpus, workers = self._need(step)
        return gpus <= len(self._free_gpus) and workers <= self._free_workers

    def _need(self, step: Step) -> tuple[int, int]:
        """Number of GPUs and of workers that a step needs."""
        if self.gpus and step.gpus:
            return step.gpus, 0
        # Without GPUs, a run of several processes needs as many workers, at most all.
        return 0, min(max(step.gpus, 1), self.workers)

    def claim(
        self, step: Step, home: Path, on_loss: Callable[[], None] = lambda: None
    ) -> Claim | None:
        """See :class:`Launcher`."""
        # Ask with the same object again: it tracks whether the holder is alive.
        lease = self._leases.pop(home, None) or Lease(home / 'lease', on_loss)
        if not lease.take():
            self._leases[home] = lease
            return None
        claim = Claim(lease, home)
        if claim.is_in_use:
            claim.end()
            return None
        return claim

    def pause(self) -> None:
        """See :class:`Launcher`."""
        time.sleep(POLL_SECONDS)

    def start(self, step: Step, words: Sequence[str], log: Path) -> Process:
        """See :class:`Launcher`."""
        gpus, share = self._need(step)
        taken = [self._free_gpus.pop(0) for _ in range(gpus)]
        self._free_workers -= share

        def release() -> None:
            self._free_gpus = [gpu for gpu in self.gpus if gpu in {*self._free_gpus, *taken}]
            self._free_workers += share

        environment = {**os.environ, **self.environment}
        if self.gpus:
            environment['CUDA_VISIBLE_DEVICES'] = ','.join(taken)
        return self._open(step, words, log, environment, release)

    def _open(
        self,
        step: Step,
        words: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        release: Callable[[], None],
    ) -> Process:
        return LocalProcess(command_of(step, words), log, environment, release)


class OwnProcess(Process):
    """A step that runs on this machine.

    Args:
        release: Frees the GPUs or cores of the step; called once, after its end.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def abandon(self) -> None:
        """See :class:`Process`."""
        self.stop()

    def _seen(self, status: int | None) -> int | None:
        """Return a polled exit status; release the resources if the step has ended."""
        if status is not None and self._release is not None:
            self._release()
            self._release = None
        return status


class LocalProcess(OwnProcess):
    """A subprocess with its descendants; they end with this process."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        release: Callable[[], None],
    ) -> None:
        super().__init__(release)
        self._process = start_guarded(command, log, environment)

    @property
    def pid(self) -> int:
        """See :class:`Process`."""
        return self._process.pid

    def poll(self) -> int | None:
        """See :class:`Process`."""
        status = self._seen(self._process.poll())
        return None if status is None else status_behind_guard(status)

    def interrupt(self) -> None:
        """See :class:`Process`."""
        if self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """See :class:`Process`."""
        if self._process.poll() is None:
            self.interrupt()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2 * GRACE_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.poll()


def start_guarded(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """Start a command that ends, with all its descendants, at the latest with this process.

    It has a session of its own: schedulers and terminals signal whole groups, and it is to get our
    signals only.

    Args:
        command: The command.
        log: File to which its output is appended.
        environment: Its environment; None: that of this process.
    """
    with log.open('a') as output:
        return subprocess.Popen(
            [*GUARD, *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment and dict(environment),
            start_new_session=True,
            # The guard then ends all its descendants.
            preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM),
        )


def status_behind_guard(status: int) -> int:
    """The status of a guarded command: like a shell, the guard adds 128 to a signal's number."""
    return 128 - status if status > 128 else status


def command_of(step: Step, words: Sequence[str], meeting: Sequence[str] = ONE_NODE) -> list[str]:
    """The command of a step: one process, or one for each of its GPUs under torchrun.

    Args:
        step: The step.
        words: Arguments of ``mim-bench``.
        meeting: Arguments of torchrun that say where the nodes of a run meet.
    """
    program = [sys.executable, '-m', 'mim_bench.cli.main', *words]
    if step.processes < 2 or words[0] not in COMPUTING:
        return program
    torchrun = [sys.executable, '-m', 'mim_bench.suite.torchrun', *meeting]
    torchrun.append(f'--nproc-per-node={step.gpus}')
    return [*torchrun, *program[1:], '--launcher', 'pytorch']
