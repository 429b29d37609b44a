"""The jobs of a suite's folder: which step each runs, and what became of it, in one file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mim_bench.errors import ConfigError
from mim_bench.files.atomic import write_atomically
from mim_bench.files.validation import adapter, parse_json
from mim_bench.suite.leases import Lease, leased
from mim_bench.suite.resources import Cluster

BOOK_FILE = 'jobs.json'
_FORMAT = 1
# States of a step.
OPEN, SUBMITTING, SUBMITTED, DONE, FAILED = 'open', 'submitting', 'submitted', 'done', 'failed'


@dataclass(frozen=True)
class Note:
    """What is known of a step and its last job.

    Attributes:
        state: ``open`` (to be submitted), ``submitting``, ``submitted``, ``done`` or ``failed``.
        id: The scheduler's id; '' before it is known.
        key: Key of the job's description.
        group: Key of the first job that was submitted with it, which the scheduler knows.
        index: Place in an array; None: no array.
        fingerprint: Fingerprint of the step as it was submitted.
        said: State in the scheduler's words, when it was last asked.
        why: Why it failed.
        needs: Steps that it needs.
    """

    state: str = OPEN
    id: str = ''
    key: str = ''
    group: str = ''
    index: int | None = None
    fingerprint: str = ''
    said: str = ''
    why: str = ''
    needs: tuple[str, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether a job of the step may be in the queue."""
        return self.state in (SUBMITTING, SUBMITTED)


@dataclass(frozen=True)
class _Content:
    format: int = _FORMAT
    cluster: Cluster = field(default_factory=Cluster)
    steps: dict[str, Note] = field(default_factory=dict)


class JobBook:
    """Reads and changes the file ``jobs.json`` of a suite's folder; several processes may.

    Args:
        out: The suite's folder.
    """

    def __init__(self, out: Path) -> None:
        self.path = out / BOOK_FILE

    def read(self) -> dict[str, Note]:
        """All notes by step, in the order of the plan; empty without a file.

        Raises:
            ConfigError: The file is damaged.
        """
        return self._content().steps

    @property
    def cluster(self) -> Cluster:
        """The cluster that has the jobs."""
        return self._content().cluster

    def change(self, notes: Mapping[str, Note], cluster: Cluster | None = None) -> None:
        """Replace the notes of some steps."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with leased(self.path.with_suffix('.changing')):
            old = self._content()
            new = replace(old, steps={**old.steps, **notes}, cluster=cluster or old.cluster)
            write_atomically({self.path: adapter(_Content).dump_json(new, exclude_defaults=True)})

    def manage(self) -> Lease:
        """Become the one process that submits and follows the jobs of the folder.

        Raises:
            ConfigError: Another process is it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        path = self.path.with_suffix('.manager')
        lease = Lease(path)
        if not lease.take():
            raise ConfigError(
                f'Another `mim-bench run` submits and follows the jobs of {self.path.parent} '
                f'({path} names its machine and process). Wait for it, or end it: its jobs go on. '
                'If its machine died, start again in a few minutes.'
            )
        return lease

    def _content(self) -> _Content:
        try:
            text = self.path.read_text('utf-8')
        except FileNotFoundError:
            return _Content()
        return parse_json(_Content, text, os.fspath(self.path), ConfigError)
