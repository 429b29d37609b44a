"""Why an attempt of a step ended, from its exit status, its machine and its scheduler."""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mim_bench.errors import RecordError, RunInterrupted
from mim_bench.results.record import Cause
from mim_bench.results.store import read_record
from mim_bench.suite.guard import STOP_SIGNALS

# After this many interruptions in a row without a new checkpoint a run fails.
MOST_IDLE_INTERRUPTIONS = 3
# States of Slurm that say more than "failed".
_CAUSES: dict[str, Cause] = {
    'TIMEOUT': 'timeout',
    'DEADLINE': 'timeout',
    'OUT_OF_MEMORY': 'out-of-memory',
    'NODE_FAIL': 'node-failure',
    'BOOT_FAIL': 'node-failure',
    'PREEMPTED': 'preempted',
    'CANCELLED': 'user',
}
_WORDS: dict[Cause, str] = {
    'timeout': 'Out of time',
    'out-of-memory': 'Out of memory',
    'node-failure': 'A node failed',
    'preempted': 'Preempted',
    'user': 'Cancelled by the user',
    'killed': 'Killed',
}


@dataclass(frozen=True)
class Ending:
    """The end of an attempt that failed.

    Attributes:
        cause: The cause for the record.
        text: How it ended, for messages.
    """

    cause: Cause
    text: str

    def __str__(self) -> str:
        words = _WORDS.get(self.cause)
        return f'{words}: {self.text}' if words else self.text


def is_interruption(status: int | None) -> bool:
    """Whether a run ended because it was asked to, and wants to be started again."""
    return status is not None and (status == RunInterrupted.exit_status or -status in STOP_SIGNALS)


def cause_of_state(state: str) -> Cause | None:
    """The cause in a state of Slurm, for example ``CANCELLED by 1000``; None: it says none."""
    return _CAUSES.get(state.split()[0].rstrip('+') if state.strip() else '')


def ending_of(status: int, state: str | None, own: Cause | None, *, lost_memory: bool) -> Ending:
    """Why an attempt with an exit status ended.

    Args:
        status: Negative: the signal that ended it.
        state: State of its job if a scheduler ran it, or why it has none.
        own: Cause that the run itself recorded.
        lost_memory: Whether the system killed a process for want of memory meanwhile.
    """
    text = f'ended by signal {-status}' if status < 0 else f'exit status {status}'
    if state and (cause := cause_of_state(state)):
        return Ending(cause, f'{text}, the job was {state}')
    if state and state not in ('COMPLETED', 'FAILED'):
        text += f', {state}'
    if own:
        return Ending(own, text)
    if -status == signal.SIGKILL:
        return Ending('out-of-memory' if lost_memory else 'killed', text)
    return Ending('error', text)


def recorded_cause(records: Sequence[Path]) -> Cause | None:
    """What a run recorded as the cause of its failure."""
    for path in records:
        try:
            if (record := read_record(path)).status == 'failed':
                return record.cause
        except (RecordError, OSError):
            continue
    return None


def memory_kills(root: Path = Path('/sys/fs/cgroup'), own: Path = Path('/proc/self/cgroup')) -> int:
    """How often the system has killed a process of this container or job for want of memory."""
    folders = [root, root / 'memory']
    try:
        groups = [line.split(':', 2)[2].strip('/\n') for line in own.read_text().splitlines()]
    except (OSError, IndexError):
        groups = []
    folders += [folder / group for folder in folders for group in groups if group]
    counts = [0]
    for folder in folders:
        for name in ('memory.events', 'memory.oom_control'):
            try:
                found = re.search(r'^oom_kill (\d+)$', (folder / name).read_text(), re.MULTILINE)
            except OSError:
                continue
            counts += [int(found[1])] if found else []
    return max(counts)
