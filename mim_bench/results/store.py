"""Records on disk: ``<run_id>/record.json`` a run, its ``curves.json`` beside it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from mim_bench.errors import RecordError
from mim_bench.files.atomic import write_atomically
from mim_bench.files.validation import adapter, explain, parse_json, read_text
from mim_bench.results.record import SCHEMA_VERSION, Curve, RunRecord

RECORD_FILE = 'record.json'
CURVES_FILE = 'curves.json'


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
