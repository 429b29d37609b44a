"""Progress of a run, by its heartbeat or the end of its log; time left of a plan."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mim_bench.engine.heartbeat import HEARTBEAT_FILE, Heartbeat
from mim_bench.files.atomic import stamp
from mim_bench.suite.steps import Step

_TAIL_BYTES = 16_384
# 'Epoch(train) [3][20/46]', 'Iter(val) [ 50/300]': lines of mmengine.
_POSITION = re.compile(r'(?:Epoch|Iter)\((\w+)\)\s+((?:\[\s*\d+(?:/\d+)?\]\s*)+)')
_ETA = re.compile(r'eta: ((?:\d+ days?, )?[\d:]+)')
_FEATURES = re.compile(r'Features of the (\w+) data (\[\d+/\d+\])')


class Pulse:
    """Follows the heartbeat of a run, from now on.

    It uses no clock of another machine: a beat is new if the file changed.

    Args:
        folder: Work directory of the run.
        clock: Seconds that only move forward.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._stamp = stamp(folder / HEARTBEAT_FILE)  # of an earlier start
        self._beat: Heartbeat | None = None
        self._seen_at = clock()

    def feel(self) -> Heartbeat | None:
        """The last beat; None before the first one."""
        now = stamp(self._folder / HEARTBEAT_FILE)
        if now not in (None, self._stamp):
            self._stamp, self._seen_at = now, self._clock()
            self._beat = Heartbeat.read(self._folder) or self._beat
        return self._beat

    @property
    def silent_s(self) -> float:
        """Seconds since the last beat was seen."""
        return self._clock() - self._seen_at


def describe_progress(log: Path) -> str:
    """Position and expected time, for example ``train [3][20/46], 0:01:10 left``.

    Args:
        log: Log file; may be missing or contain other lines.

    Returns:
        '' where the log states neither.
    """
    found = ''
    for line in _tail(log).splitlines():
        if match := _POSITION.search(line):
            eta = _ETA.search(line)
            place = re.sub(r'\s+', '', match[2])
            found = f'{match[1]} {place}' + (f', {eta[1]} left' if eta else '')
        elif match := _FEATURES.search(line):
            found = f'features of {match[1]} {match[2]}'
    return found


def seconds_left(
    plan: Sequence[Step], took: Mapping[str, float], runs_for: Mapping[str, float], workers: int
) -> float | None:
    """Seconds left of a plan, if steps stay as much slower than the measured times as they were.

    Args:
        plan: The steps that are not done, with their measured ``seconds``.
        took: Seconds that each ended step took, by name.
        runs_for: Seconds since each running step began, by name.
        workers: Steps at a time.

    Returns:
        None if no step has ended yet, or one has no measured time.
    """
    expected = {step.name: step.seconds for step in plan}
    before = sum(expected.get(name) or 0.0 for name in took)
    if None in expected.values() or not before:
        return None
    slower = sum(took.values()) / before
    left = {name: slower * seconds for name, seconds in expected.items() if name not in took}
    for name, seconds in runs_for.items():
        left[name] = max(left[name] - seconds, 0.0)
    # One long step cannot be shared between workers.
    return max(sum(left.values()) / workers, *left.values(), 0.0)


def _tail(log: Path) -> str:
    try:
        with log.open('rb') as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - _TAIL_BYTES, 0))
            return file.read().decode(errors='replace')
    except OSError:
        return ''
