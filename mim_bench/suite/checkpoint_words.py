"""The words after ``--checkpoint``: which file, how it is read, and what the user states of it."""

import re
from dataclasses import dataclass, field
from os.path import exists
from pathlib import Path
from typing import Any

from mim_bench.errors import ConfigError
from mim_bench.results.stated_facts import parse_facts

RANDOM = 'random'
TIMM = 'timm'
ID_BYTES = 120
# How a file is read, as the options of ``mim-bench convert`` say it.
READING = ('timm', 'source', 'container', 'prefix')


@dataclass(frozen=True)
class CheckpointWord:
    """A word of ``--checkpoint``, parsed.

    Attributes:
        id: Names the row.
        kind: 'file', 'random' or 'timm'.
        place: Path of a file, backbone of a 'random' one, name of a 'timm' one.
        reading: How the file is read, by names of :data:`READING`.
        stated: What the user states of it, by field of a record's checkpoint.
    """

    id: str
    kind: str
    place: str
    reading: dict[str, str] = field(default_factory=dict)
    stated: dict[str, Any] = field(default_factory=dict)


def parse_word(word: str, timm: dict[str, str] | None = None) -> CheckpointWord:
    """``[ID=]PATH``, ``[ID=]random:BACKBONE`` or ``[ID=]timm:NAME``, then ``,KEY=VALUE``.

    Args:
        word: Word of the command line.
        timm: Networks of timm by id; under ``''`` that of every file.

    Raises:
        ConfigError: There is no path, a key is unknown, or the id is too long for a file name.
    """
    if exists(word) or exists(word.partition('=')[2]):
        facts: list[str] = []  # a path may have commas itself
    else:
        word, *facts = re.split(r',(?=\w+=)', word)
    name, equals, place = word.partition('=')
    if not equals or exists(word):
        name, place = '', word
    if not place:  # pathlib reads an empty one as the folder that the command runs in
        raise ConfigError(f'--checkpoint {word!r}: names no file. Write [ID=]PATH.')
    kind, colon, rest = place.partition(':')
    if not colon or kind not in (RANDOM, TIMM) or exists(place):
        kind, rest = 'file', place
    if not name:
        name = Path(place).stem if kind == 'file' else place.replace(':', '_')
    checkpoint_id = re.sub(r'[^\w.+-]+', '_', name).strip('._') or 'checkpoint'
    if len(checkpoint_id.encode()) > ID_BYTES:
        raise ConfigError(
            f'{place}: the id of the row has {len(checkpoint_id.encode())} bytes; as a part of '
            f'file names it may have {ID_BYTES}. Give a shorter one, as in ID={place}'
        )
    given = dict(fact.split('=', 1) for fact in facts if fact.partition('=')[0] in READING)
    if kind != 'file' and given:
        raise ConfigError(
            f'{word}: {", ".join(given)} are for files, and this is not one. Leave them out.'
        )
    if kind == 'file' and timm and (network := timm.get(checkpoint_id, timm.get(''))):
        given.setdefault('timm', network)
    stated = parse_facts((fact for fact in facts if fact.partition('=')[0] not in READING), place)
    return CheckpointWord(checkpoint_id, kind, rest, given, stated)


def parse_timm(words: list[str]) -> dict[str, str]:
    """``NAME`` for every file, ``ID=NAME`` for one."""
    pairs = [word.partition('=') for word in words]
    return {name if equals else '': value if equals else name for name, equals, value in pairs}
