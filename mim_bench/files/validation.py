"""Reads JSON and YAML into pydantic models; an error names the file, the place and the value.

One definition of a file, a pydantic model or a dataclass, gives the check when it is read, the
messages, the JSON Schema (``mim-bench list fields --json``) and the table of its fields.
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from mim_bench.errors import MimBenchError, RecordError, did_you_mean, first_of

STRICT = ConfigDict(
    extra='forbid', frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
)
_MOST_PROBLEMS = 8
# Text that quotes a whole damaged file helps nobody.
_LONGEST_VALUE = 100
_UNKNOWN_KEY = ('extra_forbidden', 'unexpected_keyword_argument')
T = TypeVar('T')


class Model(BaseModel):
    """Base of the models that are read from YAML: no unknown key, no conversion, no change."""

    model_config = STRICT


# What checks a model, a dataclass or a list of them.
adapter = cache(TypeAdapter)


def read_text(path: Path, where: str, error: type[MimBenchError] = RecordError) -> str:
    """The text of a file.

    Raises:
        MimBenchError: It cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text('utf-8')
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise error(f'{where}: cannot be read ({reason}).') from problem


def parse_json(kind: type[T], text: str, where: str, error: type[MimBenchError] = RecordError) -> T:
    """The model, dataclass or list of them that a JSON text describes; messages call it ``where``.

    Raises:
        MimBenchError: The text is no JSON, or breaks the model; names every place.
    """
    try:
        return adapter(kind).validate_json(text)
    except ValidationError as problem:
        raise error(f'{where}: {explain(problem, kind)}') from None


def read_yaml(kind: type[T], path: Path, error: type[MimBenchError], context: Any = None) -> T:
    """The model, dataclass or list of them that a YAML file describes; validators get ``context``.

    Raises:
        MimBenchError: The file cannot be read, is no YAML, has a key twice, or breaks the model.
    """
    text = read_text(path, str(path), error)
    try:
        data = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as problem:
        raise error(f'{path}: cannot be read ({problem}).') from problem
    try:
        # By way of JSON, which has lists only, where Python tells tuples from lists.
        return adapter(kind).validate_json(json.dumps(data, default=str), context=context)
    except ValidationError as problem:
        raise error(f'{path}: {explain(problem, kind, data)}') from None


# libyaml's parser where there is one, ten times as fast.
class _Loader(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):
    """Refuses a key that stands twice, where YAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f'key {key!r} stands twice', node.start_mark
                )
        return super().construct_mapping(node, deep)


def explain(problem: ValidationError, kind: Any, data: Any = None) -> str:
    """Every place that breaks a model, the value there and what is expected, as one sentence.

    ``data`` is what was checked, to name the entries of lists.
    """
    errors = problem.errors(include_url=False)
    if errors[0]['type'] == 'json_invalid':
        return f'not valid JSON ({errors[0]["ctx"]["error"]}). Run again, or delete the file.'
    missing = ['.'.join(_steps(e['loc'], data)) for e in errors if e['type'] == 'missing']
    texts = [_problem(e, kind, data) for e in errors if e['type'] != 'missing']
    parts = (first_of(texts, _MOST_PROBLEMS, '; '), missing and f'missing: {", ".join(missing)}')
    return '; '.join(filter(None, parts)) + '. Correct the file, or what wrote it.'


def _problem(error: dict[str, Any], kind: Any, data: Any) -> str:
    place, value = '.'.join(_steps(error['loc'], data)), error['input']
    if error['type'] in _UNKNOWN_KEY:
        return f'{place}: nothing reads this key{_hint(error["loc"][-1], _known(kind))}'
    if error['type'] == 'value_error':
        return ': '.join(filter(None, (place, str(error['ctx']['error']))))
    reason = error['msg'][0].lower() + error['msg'][1:]
    known = re.findall(r"'([^']+)'", error.get('ctx', {}).get('expected', ''))
    shown = repr(value)
    shown = shown if len(shown) <= _LONGEST_VALUE else shown[:_LONGEST_VALUE] + '…'
    return f'{place or "top level"}: {reason}, not {shown}{_hint(value, known)}'


def _steps(place: Sequence[str | int], data: Any) -> Iterator[str]:
    """The steps to a place; an entry of a list is named where it has a name."""
    for step in place:
        try:
            data = data[step]
        except (TypeError, KeyError, IndexError):
            data = None
        entry = data if isinstance(step, int) and isinstance(data, dict) else {}
        method = [str(entry[key]) for key in ('method', 'backbone') if key in entry]
        name = entry.get('id') or entry.get('name') or ' '.join(method)
        yield f'{step} ({name})' if name else str(step)


def _known(kind: Any) -> list[str]:
    """All keys of a model and of the models inside it."""
    return [key for model in _models(kind).values() for key in model.get('properties', {})]


def _models(kind: Any) -> dict[str, dict[str, Any]]:
    """The schemas of a model and of the models inside it, by name."""
    schema = adapter(kind).json_schema(mode='serialization')
    return {schema.get('title', ''): schema} | schema.get('$defs', {})


def _hint(word: Any, known: Sequence[str]) -> str:
    # A key that is read elsewhere in the file is no better writing of itself.
    text = did_you_mean(str(word), [name for name in known if name != word]).strip(' ?')
    return f' ({text[0].lower()}{text[1:]}?)' if text else ''


def field_tables(kind: Any) -> dict[str, tuple[str, list[tuple[str, str, str]]]]:
    """The fields of a model and of the models inside it.

    Returns:
        By the name of each model: what it is, and name, type and meaning of its fields.
    """
    return {
        name: (
            _text(model),
            [(key, _type(node), _text(node)) for key, node in model['properties'].items()],
        )
        for name, model in _models(kind).items()
        if 'properties' in model
    }


def _text(node: dict[str, Any]) -> str:
    return ' '.join(node.get('description', '').split()).replace('``', '`')


def _type(node: dict[str, Any]) -> str:
    if 'anyOf' in node:
        return ' or '.join(map(_type, node['anyOf']))
    if '$ref' in node:
        return node['$ref'].rpartition('/')[2]
    if 'enum' in node:
        return ', '.join(map(str, node['enum']))
    inner = node.get('items') or node.get('additionalProperties')
    inner = inner or next(iter(node.get('patternProperties', {}).values()), None)
    return f'{node["type"]} of {_type(inner)}' if inner else node.get('type', 'any')
