"""Requests to stop a run: by a signal, or by its time limit."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from mim_bench.errors import RunInterrupted

# Schedulers announce the end of a job by one of them.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
# Kept free at the end of a run's time for its last checkpoint, unless saving takes longer.
RESERVE_S = 120.0


class StopRequest:
    """Whether this process has been asked to stop.

    Until :meth:`defer`, a signal ends the run at once by :class:`RunInterrupted`: there is nothing
    to save yet. From then on it is only stored, and the training ends where it can be resumed.

    Args:
        time_limit_s: Seconds from now until the run is ended from outside; None: never.
    """

    def __init__(self, time_limit_s: float | None = None) -> None:
        self._end = None if time_limit_s is None else time.monotonic() + time_limit_s
        self._reserve_s = RESERVE_S if time_limit_s is None else min(RESERVE_S, time_limit_s / 4)
        self._signal: signal.Signals | None = None
        self._is_deferred = False
        self._pid = os.getpid()
        self._signals_of_child = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Receive signals inside."""
        with handling_signals(self._receive):
            try:
                yield
            except Exception as error:
                if (interruption := interruption_behind(error)) is not None:
                    raise interruption from None
                raise

    def defer(self) -> None:
        """From now on, store signals without acting on them."""
        self._is_deferred = True

    def reason(self, save_s: float = 0.0) -> str | None:
        """Why the run should stop now; None if it need not.

        Args:
            save_s: Seconds that a checkpoint takes.
        """
        if self._signal is not None:
            return self._signal.name
        if self._end is not None:
            left = self._end - time.monotonic()
            if left <= max(self._reserve_s, 3 * save_s):
                return 'the end of its time'
        return None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            self._receive_in_worker(number)
            return
        self._signal = signal.Signals(number)
        if not self._is_deferred:
            raise RunInterrupted(
                f'{self._signal.name} came before the first update: nothing to save. Start again.'
            )

    def _receive_in_worker(self, number: int) -> None:
        """Handle a signal in a loader's worker, which gets those of its process group.

        The training needs it until it has saved; when it ends its workers itself, they have ended
        or get a second SIGTERM.
        """
        self._signals_of_child += number == signal.SIGTERM
        if self._signals_of_child > 1:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextmanager
def handling_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle :data:`SIGNALS` inside; Python lets only the main thread do so."""
    before = {}
    with contextlib.suppress(ValueError):  # another thread
        for number in SIGNALS:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def interruption_behind(error: BaseException | None) -> RunInterrupted | None:
    """The :class:`RunInterrupted` that an error is, or from which a library made another error."""
    while error is not None and not isinstance(error, RunInterrupted):
        error = error.__cause__ or error.__context__
    return error


def seconds_of_job(environment: Mapping[str, str] = os.environ) -> float | None:
    """Seconds that the Slurm job of this process has left; None outside of one, or if unknown."""
    try:
        left = float(environment['SLURM_JOB_END_TIME']) - time.time()
    except (KeyError, ValueError):
        return None
    return left if left > 0 else None
