"""The settings behind a protocol's hash: ``protocol.json`` beside a record."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mim_bench.errors import ConfigError, RecordError
from mim_bench.results.atomic import write_atomically
from mim_bench.results.hashing import protocol_hash
from mim_bench.results.validation import parse_json, read_text

PROTOCOL_FILE = 'protocol.json'


@dataclass(frozen=True)
class SettingDifference:
    """One setting that two protocols do not share.

    ``first`` and ``second`` are JSON texts; None where a protocol has no such setting.
    """

    key: str
    first: str | None
    second: str | None


def write_protocol(content: Mapping[str, Any], folder: Path) -> str:
    """Write ``<folder>/protocol.json`` atomically.

    Args:
        content: What the hash of the protocol covers.
        folder: Of the record.

    Returns:
        The name of the file.

    Raises:
        MimBenchError: The disk refuses.
    """
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_atomically({Path(folder) / PROTOCOL_FILE: (text + '\n').encode()})
    return PROTOCOL_FILE


def read_protocol(path: Path, digest: str) -> dict[str, Any]:
    """Read the content of a protocol.

    Args:
        path: Of the file.
        digest: The hash that the record states.

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


def setting_differences(first: Any, second: Any) -> list[SettingDifference]:
    """The settings that differ, by dotted key, in the order of the keys.

    Items of lists that have an equal at the same distance from either end are the same; an item
    that one list has more is one difference, not one of all that follow.

    Args:
        first: Content of a protocol.
        second: Of another.
    """
    return list(_differences('', first, second))


def _differences(key: str, first: Any, second: Any) -> Iterator[SettingDifference]:
    if _text(first) == _text(second):
        return
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in sorted(set(first) | set(second)):
            yield from _of_entry(f'{key}.{name}'.lstrip('.'), name, first, second)
    elif _is_list(first) and _is_list(second):
        yield from _of_lists(key, list(first), list(second))
    else:
        yield SettingDifference(key, _text(first), _text(second))


def _of_entry(
    key: str, name: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> Iterator[SettingDifference]:
    if name in first and name in second:
        yield from _differences(key, first[name], second[name])
    elif name in first:
        yield SettingDifference(key, _text(first[name]), None)
    else:
        yield SettingDifference(key, None, _text(second[name]))


def _of_lists(key: str, first: list[Any], second: list[Any]) -> Iterator[SettingDifference]:
    """What equals at both ends is left out; the middle is compared by place if of one length."""
    start = 0
    while start < min(len(first), len(second)) and _text(first[start]) == _text(second[start]):
        start += 1
    end = 0
    while end < min(len(first), len(second)) - start and _text(first[-1 - end]) == _text(
        second[-1 - end]
    ):
        end += 1
    middles = [items[start : len(items) - end] for items in (first, second)]
    if len(middles[0]) == len(middles[1]):
        for place, (a, b) in enumerate(zip(*middles, strict=True), start=start):
            yield from _differences(f'{key}.{place}', a, b)
        return
    for place in range(max(map(len, middles))):
        texts = [_text(items[place]) if place < len(items) else None for items in middles]
        if texts[0] != texts[1]:
            yield SettingDifference(f'{key}.{start + place}', *texts)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
