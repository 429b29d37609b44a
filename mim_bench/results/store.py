"""Records on disk: ``<run_id>/record.json`` a run, its ``curves.json`` beside it, by folder."""

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import ValidationError

from mim_bench.errors import RecordError
from mim_bench.results.atomic import write_atomically
from mim_bench.results.record import SCHEMA_VERSION, Curve, RunRecord
from mim_bench.results.validation import adapter, explain, parse_json, read_text

RECORD_FILE = 'record.json'
CURVES_FILE = 'curves.json'
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


def record_to_json(record: RunRecord) -> str:
    """The record as the text of its file.

    Raises:
        RecordError: A value is not what its field may hold.
    """
    where = f'record of run {record.run_id!r}'
    text = json.dumps(asdict(record), indent=2, sort_keys=True, ensure_ascii=False) + '\n'
    try:
        text.encode()
    except UnicodeEncodeError as error:
        value = text[: error.end].rpartition('\n')[2].strip()
        raise RecordError(f'{where}: {value!a} is not valid Unicode. Rename it.') from None
    record_from_json(text, where)
    return text


def record_from_json(text: str, where: str) -> RunRecord:
    """The record that a JSON text holds; messages call the file ``where``.

    Raises:
        RecordError: The version is unknown, or a value is not what its field may hold.
    """
    try:
        return adapter(RunRecord).validate_json(text)
    except ValidationError as problem:
        versions = [e['input'] for e in problem.errors() if e['loc'] == ('schema_version',)]
        reason = explain(problem, RunRecord)
    if versions:
        reason = (
            f'schema_version is {versions[0]!r}, this mim_bench reads {SCHEMA_VERSION}. Run again, '
            'with the mim_bench that reports.'
        )
    raise RecordError(f'{where}: {reason}')


def write_record(record: RunRecord, folder: Path) -> Path:
    """Write ``<folder>/<run_id>/record.json``; it is whole or absent at every moment.

    Raises:
        RecordError: A value is not what its field may hold; nothing is written.
        MimBenchError: The disk refuses; an earlier record is untouched.
    """
    path = Path(folder) / record.run_id / RECORD_FILE
    write_atomically({path: record_to_json(record).encode()})
    return path


def read_record(path: Path, where: str | None = None) -> RunRecord:
    """Read one ``record.json``, which messages call ``where``, by default its path.

    Raises:
        RecordError: Names the file and the reason.
    """
    where = where or str(path)
    return record_from_json(read_text(Path(path), where), where)


def write_curves(curves: Sequence[Curve], folder: Path) -> Path:
    """Write ``<folder>/curves.json`` atomically.

    Raises:
        RecordError: A value is not finite or not a number.
        MimBenchError: The disk refuses.
    """
    path = Path(folder) / CURVES_FILE
    text = json.dumps([asdict(curve) for curve in curves])
    parse_json(list[Curve], text, str(path))
    write_atomically({path: text.encode()})
    return path


def read_curves(path: Path) -> list[Curve]:
    """Read a curves file.

    Raises:
        RecordError: It is missing, damaged or holds numbers that are not finite.
    """
    return parse_json(list[Curve], read_text(Path(path), str(path)), str(path))


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
    # Only boards need the outcomes, whose statistics import scipy, which takes a while.
    from mim_bench.results.outcomes_file import contradiction, read_values

    try:
        values = read_values(collection.artifact_path(record, record.artifacts.outcomes))
    except RecordError:
        return None  # the board says so where it needs them
    reason = contradiction(values, record.metrics)
    return reason and f'{reason}. One of the two was changed. Delete its folder and run again.'
