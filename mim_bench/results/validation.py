"""Checks of JSON data against the schemas of this package; names the file and the reason."""

import json
import math
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from mim_bench.errors import RecordError

# Larger whole numbers lose digits in other readers of JSON, and overflow a float.
LARGEST_INTEGER = 2**53
# Text of a reason that quotes a whole damaged file helps nobody.
LONGEST_REASON = 300


@cache
def _validator(name: str) -> Draft202012Validator:
    text = resources.files('mim_bench.results').joinpath(f'{name}.schema.json').read_text('utf-8')
    return Draft202012Validator(json.loads(text))


def parse_json(text: str, where: str) -> Any:
    """Parse strict JSON: a file that is cut off, or holds NaN or infinities, is refused.

    Raises:
        RecordError: Names ``where`` and the reason.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f'{where}: not valid JSON ({error}). Run again, or delete the file.'
        ) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f'{name} is not a number')


def check_schema(data: Any, schema: str, where: str, version: int | None = None) -> None:
    """Refuse data that break a schema of this package.

    Args:
        data: What ``json.loads`` gave.
        schema: Name of the schema, ``record`` or ``curves``.
        where: The file that the data came from, for messages.
        version: The schema version that a record must state.

    Raises:
        RecordError: Names ``where``, the place in the data and the reason.
    """
    if version is not None and isinstance(data, dict) and data.get('schema_version') != version:
        raise RecordError(
            f'{where}: schema_version is {data.get("schema_version")!r}, this mim_bench reads '
            f'{version}. Update mim_bench, or run again.'
        )
    _check_values(data, '', where)
    error = best_match(_validator(schema).iter_errors(data))
    if error is not None:
        place = '.'.join(map(str, error.absolute_path))
        raise _refusal(where, place, error.message)
    if schema == 'record':
        _check_meaning(data, where)


def _refusal(where: str, place: str, reason: str) -> RecordError:
    if len(reason) > LONGEST_REASON:
        reason = reason[:LONGEST_REASON] + '…'
    return RecordError(
        f'{where}: {place or "top level"}: {reason}. Mend what wrote it, and run again.'
    )


def _check_values(data: Any, place: str, where: str) -> None:
    """What JSON's grammar allows and no reader can use: 1e999, huge integers, half characters."""
    if isinstance(data, dict):
        for key, value in data.items():
            _check_values(key, f'{place}.(key)'.lstrip('.'), where)
            _check_values(value, f'{place}.{key}'.lstrip('.'), where)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            _check_values(value, f'{place}.{index}'.lstrip('.'), where)
    elif isinstance(data, float) and not math.isfinite(data):
        raise _refusal(where, place, f'{data} is not a finite number')
    elif isinstance(data, int) and abs(data) > LARGEST_INTEGER:
        raise _refusal(where, place, 'whole number above 2**53')
    elif isinstance(data, str):
        try:
            data.encode('utf-8')
        except UnicodeEncodeError:
            raise _refusal(where, place, 'text is not valid Unicode') from None


def _check_meaning(record: dict[str, Any], where: str) -> None:
    """What a JSON schema cannot say: a real date, and a primary metric that exists."""
    try:
        datetime.fromisoformat(record['started_at'].replace('Z', '+00:00'))
    except ValueError as error:
        raise _refusal(where, 'started_at', str(error)) from None
    primary = record['primary_metric']
    if record['status'] == 'done' and primary is not None and primary not in record['metrics']:
        known = ', '.join(record['metrics']) or 'none'
        raise _refusal(where, 'primary_metric', f'{primary!r} is not among the metrics ({known})')
