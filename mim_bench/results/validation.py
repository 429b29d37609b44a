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
from mim_bench.results.schema_check import Check, compile_schema

# Larger whole numbers lose digits in other readers of JSON, and overflow a float.
LARGEST_INTEGER = 2**53
# Text of a reason that quotes a whole damaged file helps nobody.
LONGEST_REASON = 300


@cache
def read_schema(name: str) -> dict[str, Any]:
    """A schema of this package by its name, for example ``record`` or ``curves``."""
    text = resources.files('mim_bench.results').joinpath(f'{name}.schema.json').read_text('utf-8')
    return json.loads(text)


@cache
def _quick_check(name: str) -> Check:
    return compile_schema(read_schema(name))


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(read_schema(name))


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


def check_schema(data: Any, schema: str, where: str) -> None:
    """Refuse data that break a schema of this package.

    Args:
        data: What ``json.loads`` gave, or a YAML file.
        schema: Name of the schema, for example ``record`` or ``curves``.
        where: The file that the data came from, for messages.

    Raises:
        RecordError: Names ``where``, the place in the data and the reason.
    """
    if not _is_portable(data):
        _check_values(data, '', where)
    if not _quick_check(schema)(data):
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


def _is_portable(data: Any) -> bool:
    """Whether every value is certain to pass :func:`_check_values`, which says where one fails."""
    kind = type(data)
    if kind is dict:
        return all(map(_is_portable, data)) and all(map(_is_portable, data.values()))
    if kind is list:
        return all(map(_is_portable, data))
    if kind is float:
        return math.isfinite(data)
    if kind is int:
        return abs(data) <= LARGEST_INTEGER
    return data is None or kind is bool or (kind is str and data.isascii())


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
    """What a JSON schema cannot say: a real date, and a primary metric that was evaluated.

    Only a pre-training may have no metric, or its loss as the primary one.
    """
    try:
        datetime.fromisoformat(record['started_at'].replace('Z', '+00:00'))
    except ValueError as error:
        raise _refusal(where, 'started_at', str(error)) from None
    primary = record['primary_metric']
    is_pretraining = record['task'].startswith('pretrain')
    if record['status'] != 'done' or (primary is None and is_pretraining):
        return
    if primary not in record['metrics']:
        known = ', '.join(record['metrics']) or 'none'
        raise _refusal(where, 'primary_metric', f'{primary!r} is not among the metrics ({known})')
    if record['metrics'][primary]['split'] == 'train' and not is_pretraining:
        raise _refusal(where, 'primary_metric', f'{primary!r} is no metric of an evaluation')
