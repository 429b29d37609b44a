"""All records of a folder of results, what was left out of them, and the samples behind them."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from mim_bench.errors import RecordError
from mim_bench.results.outcomes_file import contradiction, read_samples, read_values
from mim_bench.results.record import RunRecord
from mim_bench.results.statistics import Measured, Sample
from mim_bench.results.store import RECORD_FILE, read_record

# Pictures of the features of checkpoints, named after their ids, at the top of a results folder.
FEATURES_FOLDER = 'features'


@dataclass(frozen=True)
class DamagedFile:
    """A record that was left out of a collection; ``path`` is relative to its folder."""

    path: str
    reason: str


@dataclass(frozen=True)
class Collection:
    """The records of a folder, ordered by run id; no two share one. Or those of several folders."""

    records: list[RunRecord] = field(default_factory=list)
    damaged: list[DamagedFile] = field(default_factory=list)
    # By ``id(record)``: its folder and, of several, the name of its results folder.
    places: dict[int, Path] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    # Pictures of features, by name of the results folder and id of the checkpoint.
    features: dict[tuple[str, str], Path] = field(default_factory=dict)
    # What a check of several folders against each other found, as (kind, text).
    notes: list[tuple[str, str]] = field(default_factory=list)

    def group(self, record: RunRecord) -> str:
        """Name of the results folder of a record; empty if there is only one."""
        return self.groups.get(id(record), '')

    def artifact_path(self, record: RunRecord, relative: str) -> Path:
        """Where a file of a run lies.

        Raises:
            RecordError: The path leads out of the record's folder, for example by a link.
        """
        folder = self.places[id(record)].resolve()
        path = (folder / relative).resolve()
        if not path.is_relative_to(folder):
            raise RecordError(
                f'run {record.run_id!r}: the artifact {relative!r} leads out of the folder of its '
                'record. Copy the file into that folder.'
            )
        return path


def collect(folder: Path) -> Collection:
    """Read every ``record.json`` below a folder.

    Damaged files are listed and left out, and so are records whose own outcomes give other
    numbers. Of records that share a run id none is kept, since nothing says which of them is
    right. Hidden folders are not searched: other tools keep their state there.

    Raises:
        RecordError: The folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordError(f'{folder}: no such folder of results. Give the folder of the records.')
    found: dict[str, list[tuple[str, RunRecord]]] = defaultdict(list)
    collection = Collection()
    for parent, names, _ in os.walk(folder):
        names[:] = [name for name in names if not name.startswith('.')]
        path = Path(parent, RECORD_FILE)
        if not os.path.lexists(path):
            continue
        where = path.relative_to(folder).as_posix()
        try:
            record = read_record(path, where)
        except RecordError as error:
            reason = str(error).removeprefix(f'{where}: ')
            collection.damaged.append(DamagedFile(where, reason))
        else:
            found[record.run_id].append((where, record))
    for run_id, entries in sorted(found.items()):
        if len(entries) == 1:
            where, record = entries[0]
            collection.records.append(record)
            collection.places[id(record)] = (folder / where).parent
            continue
        for where, _ in entries:
            others = ', '.join(sorted(other for other, _ in entries if other != where))
            reason = f'run id {run_id!r} also stands in {others}. Delete or rename all but one.'
            collection.damaged.append(DamagedFile(where, reason))
    _leave_out_contradicted(collection, folder)
    collection.damaged.sort(key=lambda file: file.path)
    for path in sorted((folder / FEATURES_FOLDER).glob('*.png')):
        collection.features['', path.stem] = path
    return collection


def _leave_out_contradicted(collection: Collection, folder: Path) -> None:
    for record in list(collection.records):
        if reason := _contradiction(collection, record):
            where = collection.places.pop(id(record)).relative_to(folder) / RECORD_FILE
            collection.records.remove(record)
            collection.damaged.append(DamagedFile(where.as_posix(), reason))


def _contradiction(collection: Collection, record: RunRecord) -> str | None:
    """How the outcomes of a run contradict its record; None if they do not or cannot be read."""
    if record.artifacts.outcomes is None:
        return None
    try:
        values = read_values(collection.artifact_path(record, record.artifacts.outcomes))
    except RecordError:
        return None  # the board says so where it needs them
    reason = contradiction(values, record.metrics)
    return reason and f'{reason}. One of the two was changed. Delete its folder and run again.'


class SampleReader:
    """Reads the outcomes of runs; ``damaged`` are the files that could not be used, by path."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        # A run has several metrics, which are asked for one after another.
        self._read = lru_cache(maxsize=64)(read_samples)
        self.damaged: dict[str, DamagedFile] = {}

    def measured(self, runs: Sequence[RunRecord], metric: str) -> Measured:
        """What tests need of one metric of several seeds."""
        samples = tuple(self._samples(run).get(metric) for run in runs)
        return Measured(tuple(run.metrics[metric].value for run in runs), samples)

    def _samples(self, run: RunRecord) -> dict[str, Sample]:
        """The samples of a run by metric; none if it kept no outcomes, or none that can be read."""
        relative = run.artifacts.outcomes
        if relative is None:
            return {}
        path = None
        try:
            path = self._collection.artifact_path(run, relative)
            return self._read(path)
        except RecordError as error:
            where = f'{run.run_id}/{relative}'
            self.damaged[where] = DamagedFile(where, str(error).removeprefix(f'{path}: '))
            return {}
