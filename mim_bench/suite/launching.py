"""Starts the commands of steps on free GPUs or cores of this machine."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from mim_bench.errors import ConfigError
from mim_bench.suite.guard import GRACE_S, die_with
from mim_bench.suite.steps import Step

COMPUTING = ('train', 'test')
GUARD = (sys.executable, '-m', 'mim_bench.suite.guard')


class Process(Protocol):
    """A running step."""

    def poll(self) -> int | None:
        """The exit status once it has ended, else None; its resources are free then."""

    def state(self) -> str | None:
        """What a scheduler says of its end; None without one."""

    def interrupt(self) -> None:
        """Ask it to save and end, without waiting."""

    def stop(self) -> None:
        """End the step and all its processes, after a training has had the time to save."""


class Launcher(Protocol):
    """Starts steps on some resource."""

    workers: int = 1
    """Steps at a time, for the time left of a plan."""

    def check(self, step: Step) -> None:
        """Refuse a step that can never run here.

        Raises:
            ConfigError: The reason.
        """

    def has_room(self, step: Step) -> bool:
        """Whether the step can start now."""

    def start(self, step: Step, words: Sequence[str], log: Path, lock: int) -> Process:
        """Start a step's command on free resources.

        Args:
            step: The step, which states its resources.
            words: Arguments of ``mim-bench``.
            log: File to which the output is appended.
            lock: Descriptor of the lock, which the process inherits.
        """


class LocalLauncher:
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

    def check(self, step: Step) -> None:
        """See :class:`Launcher`."""
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

    def start(self, step: Step, words: Sequence[str], log: Path, lock: int) -> Process:
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
        return self._open(step, words, log, environment, lock, release)

    def _open(
        self,
        step: Step,
        words: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        lock: int,
        release: Callable[[], None],
    ) -> Process:
        return LocalProcess(command_of(step, words), log, environment, lock, release)


class OwnProcess:
    """A step that runs on this machine, and gives back its room once it has ended.

    Args:
        release: Frees what the step occupies; called once.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def state(self) -> None:
        """See :class:`Process`."""

    def _seen(self, status: int | None) -> int | None:
        """The status that was found, after the room is free if it is the end."""
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
        lock: int,
        release: Callable[[], None],
    ) -> None:
        super().__init__(release)
        with log.open('a') as output:
            self._process = subprocess.Popen(
                [*GUARD, *command],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=dict(environment),
                pass_fds=(lock,),  # locked while it lives
                start_new_session=True,
                # The guard then ends its family.
                preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM),
            )

    def poll(self) -> int | None:
        """See :class:`Process`."""
        status = self._seen(self._process.poll())
        # Like a shell, the guard adds 128 to the number of a signal.
        return 128 - status if status is not None and status > 128 else status

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


def command_of(step: Step, words: Sequence[str]) -> list[str]:
    """The command of a step: one process, or one for each of its GPUs under torchrun."""
    program = [sys.executable, '-m', 'mim_bench.cli.main', *words]
    if step.gpus < 2 or words[0] not in COMPUTING:
        return program
    torchrun = [sys.executable, '-m', 'mim_bench.suite.torchrun', '--standalone']
    torchrun += ['--local-addr=127.0.0.1', f'--nproc-per-node={step.gpus}']
    return [*torchrun, *program[1:], '--launcher', 'pytorch']
