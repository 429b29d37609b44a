"""Trainings in processes of their own, always on the CPU."""

import faulthandler
import gc
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import forkserver, util
from pathlib import Path
from unittest.mock import patch

import torch
from torch import multiprocessing

from mim_bench.cli.main import main
from mim_bench.engine.launch import Launch, train
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.demo_runs import plain_config_text

# Processes that wait for one that has failed are ended after so long, as torchrun does.
_GRACE_S = 20
TOOLS = configs_folder().parent / 'tools'
# What trainings and estimates import, so that it is imported once and not in every process.
_PRELOADED = [
    __name__,
    'mim_bench.data.transforms',
    'mim_bench.engine.hooks',
    'mim_bench.models',
    'mim_bench.profiling.estimate',
    'mmdet.models',
    'mmpretrain.datasets',
    'mmpretrain.engine',
    'mmpretrain.evaluation',
    'mmpretrain.models',
    'mmpretrain.visualization',
    'mmseg.models',
]
_spawn = util.spawnv_passfds


def fork_server() -> None:
    """Make the server of forked processes a fork of this one, with what is imported here already.

    The usual one is a new process, which imports for some ten seconds. Call it before anything
    is trained here, since whatever is in memory is in all processes of this server.
    """
    multiprocessing.set_forkserver_preload(_PRELOADED)
    if sys.platform != 'linux':  # where a fork of this process is not safe
        return
    with (
        patch.object(util, 'spawnv_passfds', _fork_server),
        patch.dict(os.environ, CUDA_VISIBLE_DEVICES=''),
    ):
        forkserver.ensure_running()


def _fork_server(path: str, arguments: Sequence[str], descriptors: Sequence[int]) -> int:
    """Stands for ``spawnv_passfds``, here and in what is forked: its process id."""
    code = arguments[-1]
    if 'forkserver import main' not in code:  # another helper of multiprocessing
        return _spawn(path, arguments, descriptors)
    pid = os.fork()
    if pid:
        return pid
    try:
        # As after an exec: only the standard files and what is passed, and no reader of the rest.
        faulthandler.disable()
        first = 3
        for kept in [*sorted(descriptors), os.sysconf('SC_OPEN_MAX')]:
            os.closerange(first, kept)
            first = kept + 1
        sys.stdout, sys.stderr = (open(n, 'w', closefd=False) for n in (1, 2))  # noqa: SIM115
        forkserver._forkserver._lock = threading.Lock()  # held by whoever asks for a server
        gc.freeze()
        exec(code, {})  # noqa: S102  of multiprocessing
    finally:
        os._exit(0)


def train_by_script(
    config: Path, words: Sequence[object] = (), num_processes: int = 1
) -> subprocess.CompletedProcess:
    """Train as ``tools/train.py`` does, or by ``tools/dist_train.sh`` with several processes.

    One process is forked from a server that only has the imports, which saves their time.

    Args:
        config: Path of a config.
        words: Further arguments of ``tools/train.py``.
        num_processes: Over gloo.

    Returns:
        With ``returncode`` (negative: the signal that ended it), ``stdout`` and ``stderr``.
    """
    if num_processes == 1:
        return run_forked(['train', config, *words])
    command = ['bash', TOOLS / 'dist_train.sh', config, num_processes, *words]
    environment = {
        **os.environ,
        # The launcher finds torchrun on the path, as in an active environment.
        'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
        'VIRTUAL_ENV': sys.prefix,
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '',
    }
    return subprocess.run(
        [str(word) for word in command], env=environment, capture_output=True, text=True
    )


def run_forked(words: Sequence[object]) -> subprocess.CompletedProcess:
    """A command of ``mim-bench`` in a process of its own, which has all imports already."""
    run = ForkedRun(words)
    (status,) = run.wait()
    return subprocess.CompletedProcess(run.words, status, run.text('stdout'), run.text('stderr'))


class ForkedRun:
    """A command of ``mim-bench`` in processes that have all imports already.

    Args:
        words: Words of the command.
        num_processes: Over gloo, without a launcher.

    Attributes:
        processes: By rank.
    """

    def __init__(self, words: Sequence[object], num_processes: int = 1) -> None:
        context = multiprocessing.get_context('forkserver')
        self.words = [str(word) for word in words]
        self._folder = tempfile.TemporaryDirectory()
        self.processes = []
        several = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(free_port())}
        several['WORLD_SIZE'] = str(num_processes)
        for rank in range(num_processes):
            environment = {**several, 'RANK': str(rank), 'LOCAL_RANK': str(rank)}
            files = [self._file(name, rank) for name in ('stdout', 'stderr')]
            for file in files:  # a process may be ended before it opens them
                file.touch()
            more = ['--launcher', 'pytorch'] if num_processes > 1 else []
            arguments = ([*self.words, *more], files, environment if more else {})
            self.processes.append(context.Process(target=_command, args=arguments))
        with patch.dict(os.environ, CUDA_VISIBLE_DEVICES=''):
            for process in self.processes:
                process.start()

    def wait(self) -> list[int]:
        """The exit statuses (negative: a signal); who waits for one that failed is ended."""
        for process in self.processes:
            while process.is_alive() and not self._has_failed():
                process.join(0.2)
        for process in self.processes:
            process.join(_GRACE_S if self._has_failed() else None)
            process.kill()
            process.join()
        return [process.exitcode for process in self.processes]

    def _has_failed(self) -> bool:
        return any(process.exitcode for process in self.processes)

    def text(self, name: str, rank: int = 0) -> str:
        """What a process wrote to ``stdout`` or ``stderr``."""
        return self._file(name, rank).read_text('utf-8', 'replace')

    def _file(self, name: str, rank: int) -> Path:
        return Path(self._folder.name) / f'{name}-{rank}'


def _command(words: list[str], files: Sequence[Path], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    for descriptor, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    torch.set_num_threads(1)
    gc.freeze()  # what was imported; each data set asks for a collection
    with plain_config_text():
        sys.exit(main(words))


def train_forked(launch: Launch, num_processes: int = 1) -> None:
    """Train in new processes that need not import anything again.

    Much cheaper than :func:`train_by_script`, and as little is shared with earlier trainings.

    Args:
        launch: What to train; its launcher is set here.
        num_processes: Over gloo.

    Raises:
        multiprocessing.ProcessException: See :func:`start_together`.
    """
    launch = replace(launch, launcher='pytorch' if num_processes > 1 else 'none')
    with patch.dict(os.environ, CUDA_VISIBLE_DEVICES=''):
        start_together(_train, (launch, num_processes, free_port()), num_processes)


def start_together(
    function: Callable[..., None],
    arguments: tuple,
    num_processes: int = 2,
    *,
    limit_s: float = 600,
) -> None:
    """Call a function of a module in forked processes and wait for them.

    Args:
        function: Called with the number of its process and the arguments.
        arguments: Pickled.
        num_processes: If one fails, the others are ended.
        limit_s: After so many seconds they are killed: gloo of torch 2.11 can wait in the
            destructor of a buffer for ever.

    Raises:
        TimeoutError: They were killed.
        multiprocessing.ProcessRaisedException: With the traceback of the process.
        multiprocessing.ProcessExitedException: It was killed.
    """
    started = multiprocessing.start_processes(
        function, arguments, nprocs=num_processes, join=False, start_method='forkserver'
    )
    end = time.monotonic() + limit_s
    while not started.join(max(0.1, end - time.monotonic())):
        if time.monotonic() > end:
            for process in started.processes:
                process.kill()
            raise TimeoutError(f'{function.__name__}: processes did not end in {limit_s:g} s')


def _train(rank: int, launch: Launch, num_processes: int, port: int) -> None:
    torch.set_num_threads(1)
    gc.freeze()  # what was imported; each data set asks for a collection
    os.environ.update(
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
        WORLD_SIZE=str(num_processes),
        RANK=str(rank),
        LOCAL_RANK=str(rank),
    )
    with plain_config_text():
        train(launch)


def free_port() -> int:
    """A free TCP port."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]
