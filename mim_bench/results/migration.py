"""Brings the JSON data of older records to the newest version, one version at a time.

A step is a pure function from the data of one version to those of the next. What an older
version did not keep becomes null, never a guess.
"""

from collections.abc import Callable
from typing import Any

from mim_bench.errors import RecordError
from mim_bench.results.record import SCHEMA_VERSION
from mim_bench.results.validation import check_schema

Step = Callable[[dict[str, Any]], dict[str, Any]]


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 requires what version 1 allowed to leave out, and adds several fields.

    These are energy, outcomes, the file of the protocol, whether options of the launch changed
    the protocol, and where a record is from.
    """
    load = data['load']
    return {
        **data,
        'schema_version': 2,
        'origin': 'run',
        'precision': data.get('precision'),
        'batch': data.get('batch'),
        'config': {**data['config'], 'changed': None},
        'cost': {**data['cost'], 'energy_joules': None},
        'load': None if load is None else {'resized': [], 'parts': {}, **load},
        'artifacts': {**data['artifacts'], 'outcomes': None, 'protocol': None},
    }


# By the version that a step reads.
STEPS: dict[int, Step] = {1: _from_1}


def newest_version(data: Any, where: str) -> Any:
    """The data as a record of the newest version; they are checked against their own first.

    Args:
        data: What ``json.loads`` gave; it is left as it is.
        where: The file that the data came from, for messages.

    Raises:
        RecordError: The version is unknown, or the data break the schema of their version.
    """
    version = data.get('schema_version') if isinstance(data, dict) else SCHEMA_VERSION
    # True equals 1 in Python, and is no version.
    while type(version) is int and version in STEPS:
        check_schema(data, f'record.v{version}', where)
        data = STEPS[version](data)
        version = data['schema_version']
    if type(version) is not int or version != SCHEMA_VERSION:
        raise RecordError(
            f'{where}: schema_version is {version!r}, this mim_bench reads '
            f'{min(STEPS)} to {SCHEMA_VERSION}. Update mim_bench, or run again.'
        )
    return data
