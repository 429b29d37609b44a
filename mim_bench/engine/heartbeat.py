"""The heartbeat of a run: a small file in its work directory that says how far it is."""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

HEARTBEAT_FILE = 'heartbeat.json'


@dataclass(frozen=True)
class Heartbeat:
    """How far a run is.

    Attributes:
        phase: ``train``, ``val``, ``test``, or another word for what it does.
        done: Iterations of the phase, in a training those of earlier starts too.
        total: Iterations that it has in all.
        time: Moment of the beat, ISO 8601 in UTC.
        loss: Loss of the last iteration of a training.
        images_per_s: Since the beat before, all processes together.
        seconds_left: Seconds left in the phase.
    """

    phase: str
    done: int
    total: int
    time: str
    loss: float | None = None
    images_per_s: float | None = None
    seconds_left: float | None = None

    def write(self, folder: Path) -> None:
        """Replace the file of a work directory; a disk that refuses is left to the checkpoints.

        It is not synced to the disk, since it is worthless after a power cut.
        """
        temporary = folder / f'.{HEARTBEAT_FILE}.{os.getpid()}.tmp'
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(asdict(self)), 'utf-8')
            temporary.replace(folder / HEARTBEAT_FILE)

    @classmethod
    def read(cls, folder: Path) -> 'Heartbeat | None':
        """The last beat of a run; None if there is none, or it is of another version."""
        try:
            return cls(**json.loads((folder / HEARTBEAT_FILE).read_text('utf-8')))
        except (OSError, ValueError, TypeError):
            return None


def stamp(folder: Path) -> tuple[int, int] | None:
    """Differs between two beats of a run; None before the first."""
    try:
        found = (folder / HEARTBEAT_FILE).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
