"""Runs torchrun so that signals reach the processes, and exits with the status of a failed one.

``python -m mim_bench.suite.torchrun [arguments of torchrun]``. torchrun itself ends its processes
on SIGTERM, dies of SIGUSR1 and SIGUSR2, and turns every exit status into 1.
"""

import contextlib
import os
import signal
import sys
from types import FrameType

from mim_bench.errors import RunInterrupted
from mim_bench.suite.guard import STOP_SIGNALS, children


def main(words: list[str]) -> int:
    """Run torchrun; returns the exit status of the process that failed first."""
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for pid in children(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    for number in STOP_SIGNALS:
        signal.signal(number, pass_on)
    # Otherwise torchrun replaces these handlers by its own.
    os.environ.setdefault('TORCHELASTIC_SIGNALS_TO_HANDLE', 'SIGINT,SIGHUP,SIGQUIT')
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        run.run(run.parse_args(words))
    except ChildFailedError as error:
        failures = sorted(error.failures.values(), key=lambda failure: failure.timestamp)
        statuses = [failure.exitcode for failure in failures]
        stopped = (RunInterrupted.exit_status, *(-number for number in asked))
        if set(statuses) & set(stopped):
            return RunInterrupted.exit_status
        first = failures[0]
        how = f'by signal {-first.exitcode}' if first.exitcode < 0 else f'{first.exitcode}'
        print(
            f'Process {first.local_rank} of {os.uname().nodename} ended first, with status {how}; '
            f'the others were ended. What it printed is above.',
            file=sys.stderr,
        )
        return first.exitcode if first.exitcode > 0 else 128 - first.exitcode
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
