"""Jobs of the fake Slurm in forked processes, which have submitit imported already.

What a job runs is its step's second word, a shell script, without a guard around it.
"""

import multiprocessing
import os
import signal
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from mim_bench.testing.fake_slurm import task_environment
from mim_bench.testing.slurm_controller import FakeSlurm, job_environment

_CONTEXT = multiprocessing.get_context('forkserver')
# A server of its own: the one that has everything for trainings is slow to fork.
_SERVER = forkserver.ForkServer()
_SERVER.set_forkserver_preload(['submitit.core.submission', 'mim_bench.suite.job'])


class ForkedJob:
    """A job's processes, with the part of Popen that the controller uses."""

    def __init__(self, slurm: FakeSlurm, job: dict) -> None:
        words = Path(job['script']).read_text().split('_submit ')[1].split()
        nodes = int(job['options'].get('nodes', 1))
        environment = {**job_environment(slurm, job), 'SUBMITIT_EXECUTOR': 'slurm'}
        log = slurm.folder / f'{job["id"]}.out'
        self._process = _CONTEXT.Process(target=_run, args=(words[0], nodes, environment, log))
        with patch.object(forkserver, 'connect_to_new_process', _SERVER.connect_to_new_process):
            self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float) -> None:
        """Wait for its end."""
        self._process.join(seconds)


def _run(folder: str, nodes: int, environment: dict[str, str], log: Path) -> None:
    os.setsid()
    with log.open('ab', buffering=0) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    tasks = [_task(folder, node, nodes) for node in range(nodes)]
    left, worst = set(tasks), 0
    while left:
        pid, status = os.waitpid(-1, 0)
        left.discard(pid)
        code = os.waitstatus_to_exitcode(status)
        worst = worst or code
        if code:  # --kill-on-bad-exit
            for task in left:
                os.kill(task, signal.SIGKILL)
    os._exit(worst if worst >= 0 else 128 - worst)


def _task(folder: str, node: int, nodes: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.environ.update(task_environment(node, nodes, os.environ['SLURM_JOB_NODELIST']))
        import submitit.core.submission as submission

        from mim_bench.suite import job

        job.GUARD, job._POLL_S = (), 0.005
        job.command_of = lambda step, words, meeting: ['bash', '-c', words[1]]
        submission.time = SimpleNamespace(sleep=lambda _: None)  # for a job's description
        submission.process_job(folder)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # as the interpreter does at its end
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status % 256)
