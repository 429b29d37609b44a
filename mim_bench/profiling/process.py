"""Starts profiling workers and communicates with them."""

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from mim_bench.errors import TrainingError

# Number of last lines of a worker's output in an error message.
SHOWN_LINES = 12
GRACE_S = 10


class Worker:
    """A new process for one job; it starts at once and waits for commands.

    Args:
        name: Name for messages.
        job: See :mod:`mim_bench.profiling.worker`.
    """

    def __init__(self, name: str, job: dict[str, Any]) -> None:
        self.name = name
        self._output = tempfile.TemporaryFile('w+')  # noqa: SIM115  close() closes it
        environment = dict(os.environ)
        if job.get('threads'):
            # In the environment, since some libraries count cores when they are loaded.
            environment |= {'OMP_NUM_THREADS': str(job['threads'])}
            environment |= {'MKL_NUM_THREADS': str(job['threads'])}
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'mim_bench.profiling.worker'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            text=True,
            env=environment,
        )
        self._send({'job': job})

    def __enter__(self) -> 'Worker':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_until_ready(self) -> None:
        """Wait until the worker is ready for commands.

        Raises:
            TrainingError: See :meth:`ask`.
        """
        self._receive()

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command and wait for its result.

        Raises:
            TrainingError: The command failed, or the process died.
        """
        self._send({'command': command})
        return self._receive()

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._output.close()

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._process.stdin.write(json.dumps(message) + '\n')
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._died() from error

    def _receive(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise self._died()
        answer = json.loads(line)
        if 'error' in answer:
            raise TrainingError(f'{self.name}: {answer["error"]}')
        return answer['result']

    def _died(self) -> TrainingError:
        code = self._process.wait()
        self._output.seek(0)
        last = ''.join(self._output.readlines()[-SHOWN_LINES:])
        return TrainingError(
            f'{self.name}: the process that profiled it ended with status {code}. '
            f'(-9 is what a machine short of memory does: use a smaller --batch-size.)\n{last}'
        )
