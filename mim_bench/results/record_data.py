"""The way of a record to and from plain JSON data, validated both ways."""

from dataclasses import asdict
from typing import Any

from mim_bench.errors import RecordError
from mim_bench.results.record import (
    SCHEMA_VERSION,
    Artifacts,
    Batch,
    Checkpoint,
    ConfigFile,
    Cost,
    LoadReport,
    Metric,
    Picture,
    Protocol,
    RunRecord,
)
from mim_bench.results.validation import check_schema


def record_to_dict(record: RunRecord) -> dict[str, Any]:
    """The record as plain JSON data.

    Raises:
        RecordError: A value breaks the schema or is not finite.
    """
    data = asdict(record)
    where = f'record of run {record.run_id!r}'
    if record.schema_version != SCHEMA_VERSION:
        raise RecordError(
            f'{where}: schema_version is {record.schema_version!r}, this mim_bench writes '
            f'{SCHEMA_VERSION}. Leave it out.'
        )
    check_schema(data, 'record', where)
    return data


def record_from_dict(data: Any, where: str) -> RunRecord:
    """The record that JSON data hold.

    Args:
        data: What ``json.loads`` gave.
        where: The file that it came from, for messages.

    Raises:
        RecordError: The version is unknown, the data break its schema or hold numbers that
            are not finite.
    """
    version = data.get('schema_version') if isinstance(data, dict) else SCHEMA_VERSION
    if type(version) is not int or version != SCHEMA_VERSION:  # True equals 1 in Python
        raise RecordError(
            f'{where}: schema_version is {version!r}, this mim_bench reads {SCHEMA_VERSION}. Run '
            'again, with the mim_bench that reports.'
        )
    check_schema(data, 'record', where)
    load, batch, artifacts = data['load'], data['batch'], data['artifacts']
    pictures = [Picture(**picture) for picture in artifacts['pictures']]
    nested = {
        'protocol': Protocol(**data['protocol']),
        'checkpoint': Checkpoint(**data['checkpoint']),
        'config': ConfigFile(**data['config']),
        'metrics': {name: Metric(**metric) for name, metric in data['metrics'].items()},
        'cost': Cost(**data['cost']),
        'load': None if load is None else LoadReport(**load),
        'batch': None if batch is None else Batch(**batch),
        'artifacts': Artifacts(**{**artifacts, 'pictures': pictures}),
    }
    return RunRecord(**{**data, **nested})
