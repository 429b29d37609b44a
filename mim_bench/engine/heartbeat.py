"""The heartbeat of a run: a small file in its work directory that states its progress."""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

HEARTBEAT_FILE = 'heartbeat.json'


@dataclass(frozen=True)
class Heartbeat:
    """Progress of a run.

    Attributes:
        phase: ``train``, ``val``, ``test``, or another word for what it does.
        done: Iterations of the phase, in a training those of earlier starts too.
        total: Number of all iterations of the phase.
        time: Moment of the beat, ISO 8601 in UTC.
        loss: Loss of the last iteration of a training.
        images_per_s: Images a second of all processes since the last beat.
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
