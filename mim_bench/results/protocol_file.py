"""The settings behind a protocol's hash: ``protocol.json`` beside a record."""

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from mim_bench.errors import ConfigError, RecordError
from mim_bench.files.atomic import write_atomically
from mim_bench.files.hashing import protocol_hash
from mim_bench.files.validation import parse_json, read_text

PROTOCOL_FILE = 'protocol.json'
_ABSENT = object()


class SettingDifference(NamedTuple):
    """A setting that two protocols do not share, as JSON texts; None where one has none."""

    key: str
    first: str | None
    second: str | None


def write_protocol(content: Mapping[str, Any], folder: Path) -> str:
    """Write what a protocol's hash covers to ``protocol.json`` beside a record; returns its name.

    Raises:
        MimBenchError: The disk refuses.
    """
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_atomically({Path(folder) / PROTOCOL_FILE: (text + '\n').encode()})
    return PROTOCOL_FILE


def read_protocol(path: Path, digest: str) -> dict[str, Any]:
    """Read the content of a protocol, which must have the hash that its record states.

    Raises:
        RecordError: The file cannot be read, or is of another protocol.
    """
    content = parse_json(dict, read_text(Path(path), str(path)), str(path))
    try:
        found = protocol_hash(content)
    except ConfigError:
        found = None
    if found != digest:
        raise RecordError(
            f'{path}: has the hash {found}, its record {digest}: it is of another protocol. '
            'Run again.'
        )
    return content


def setting_differences(first: Any, second: Any, key: str = '') -> Iterator[SettingDifference]:
    """The settings below ``key`` that differ, by dotted key, in the order of the keys.

    Lists are compared item by item; an item that one list has more is one difference, not one of
    all that follow.
    """
    texts = _text(first), _text(second)
    if texts[0] == texts[1]:
        return
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in sorted({*first, *second}):
            both = first.get(name, _ABSENT), second.get(name, _ABSENT)
            yield from setting_differences(*both, f'{key}.{name}'.lstrip('.'))
    elif _is_list(first) and _is_list(second):
        items = [list(map(_text, side)) for side in (first, second)]
        for kind, a, b, c, d in SequenceMatcher(None, *items, autojunk=False).get_opcodes():
            pairs = zip_longest(first[a:b], second[c:d], fillvalue=_ABSENT)
            for place, both in enumerate(() if kind == 'equal' else pairs, start=a):
                yield from setting_differences(*both, f'{key}.{place}')
    else:
        yield SettingDifference(key, *texts)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _text(value: Any) -> str | None:
    return None if value is _ABSENT else json.dumps(value, sort_keys=True, ensure_ascii=False)
