"""Starts steps by forking a process that has already imported the libraries.

Importing torch and OpenMMLab takes about six seconds of a core, longer than many steps of a small
suite. The fork server of :mod:`multiprocessing` imports them once, beside the first steps.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver, parent_process
from pathlib import Path
from unittest import mock

from mim_bench.suite.guard import GRACE_S
from mim_bench.suite.launching import LocalLauncher, OwnProcess, Process
from mim_bench.suite.steps import Step

_CONTEXT = multiprocessing.get_context('forkserver')
_IMPORTED = ['mim_bench.engine.launch', 'mmdet.models', 'mmseg.models']
# The step that draws the data needs none of it and starts at once.
_COMMANDS = ('train', 'test', 'convert')


class ForkingLauncher(LocalLauncher):
    """Runs steps without GPUs in forked processes; any other as :class:`LocalLauncher` does.

    CUDA does not survive a fork, and the maths library of macOS may not.

    Args:
        main: The function of ``mim-bench``: takes the words, returns the exit status.
        workers: Maximal number of parallel processes.
        environment: Variables added to the processes' environment.
    """

    def __init__(
        self, main: Callable[[list[str]], int], *, workers: int, environment: Mapping[str, str]
    ) -> None:
        super().__init__(workers=workers, environment=environment)
        self._main = main

    def _open(
        self,
        step: Step,
        words: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        release: Callable[[], None],
    ) -> Process:
        if sys.platform != 'linux':
            return super()._open(step, words, log, environment, release)
        # At the first step of any kind: a suite with nothing left to do imports nothing.
        _CONTEXT.set_forkserver_preload(_IMPORTED)
        # Libraries read their number of threads when they are imported.
        with mock.patch.dict(os.environ, environment):
            forkserver.ensure_running()
        if step.gpus < 2 and words[0] in _COMMANDS:
            return ForkedProcess(self._main, words, log, environment, release)
        return super()._open(step, words, log, environment, release)


class ForkedProcess(OwnProcess):
    """A forked process with its descendants; they end with this process."""

    def __init__(
        self,
        main: Callable[[list[str]], int],
        words: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        release: Callable[[], None],
    ) -> None:
        super().__init__(release)
        self._process = _CONTEXT.Process(
            target=_run, args=(main, list(words), log, dict(environment))
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """See :class:`Process`."""
        return self._process.pid

    def poll(self) -> int | None:
        """See :class:`Process`."""
        return self._seen(self._process.exitcode)

    def interrupt(self) -> None:
        """See :class:`Process`."""
        if self._process.is_alive():
            self._process.terminate()

    def stop(self) -> None:
        """See :class:`Process`."""
        if self._process.is_alive():
            _end_group(self._process.pid, self._process.join)
        self.poll()


def _run(
    main: Callable[[list[str]], int],
    words: list[str],
    log: Path,
    environment: dict[str, str],
) -> None:
    """Run ``mim-bench WORDS``."""
    gc.freeze()  # the imports: each data set asks for a collection, which would copy their pages
    os.setsid()
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with log.open('ab', buffering=0) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.exit(main(words))


def _end_with_parent() -> None:
    parent_process().join()
    _end_group(os.getpid(), time.sleep)


def _end_group(leader: int, wait: Callable[[float], object]) -> None:
    """End a process and its descendants by SIGTERM; kill them after the grace period."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for send in (os.kill, os.killpg):  # it leads no group before it has started
            with contextlib.suppress(ProcessLookupError, PermissionError):
                send(leader, number)
        wait(2 * GRACE_S)
