"""Ingredients of a recipe that a run can turn off and on by name, each with what it changes."""

import difflib
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from mmengine.config import Config

from mim_bench.errors import ConfigError

# A part of a path: a key, or the entries of a list by '*', by number or by their type.
_PART = re.compile(r'([^.\[\]]+)|\[([^\]]+)\]')
_KEYS = ('set', 'remove')


def switches_of(cfg: Config) -> dict[str, bool]:
    """The switches as the config's file has them.

    Raises:
        ConfigError: A switch is no bool, or nothing says what it changes.
    """
    switches = dict(cfg.get('switches') or {})
    for name, value in switches.items():
        _check_bool(cfg, name, value)
        # The config of a run has the entry for the way that was gone.
        if not any(name in (cfg.get(key) or {}) for key in ('when_off', 'when_on')):
            raise ConfigError(
                f'{cfg.filename}: neither when_off nor when_on says what the switch {name!r} '
                'changes. Add it, or remove the switch.'
            )
    return switches


def turn_switches(cfg: Config, written: Mapping[str, bool]) -> None:
    """Change a config in place as its switches ask.

    A config is written as its ``switches`` stand in the file. ``when_off`` says what changes
    when one that is written True is turned off, ``when_on`` the reverse. For each switch it has
    ``set``, a dict from paths to values, and ``remove``, a list of paths. A path is a dotted
    key; ``[*]``, ``[2]`` and ``[RandomFlip]`` choose entries of a list: all, one, those of a
    type. The last key of a path in ``set`` may be new.

    Args:
        cfg: The config, with the switches that the run asks for.
        written: What :func:`switches_of` gave before the run's overrides.

    Raises:
        ConfigError: An unknown switch, a value that is no bool, or a path that leads nowhere.
    """
    for name, value in (cfg.get('switches') or {}).items():
        if name not in written:
            near = difflib.get_close_matches(name, written, n=1)
            hint = f' Did you mean {near[0]!r}?' if near else ''
            raise ConfigError(
                f'{cfg.filename}: there is no switch {name!r}.{hint} '
                f'Known: {", ".join(written) or "none"}.'
            )
        _check_bool(cfg, name, value)
        if value != written[name]:
            where = f'{cfg.filename}: {"when_on" if value else "when_off"}.{name}'
            changes = deepcopy(_changes(cfg, name, turned_on=value))
            for path in changes.get('remove', ()):
                _remove(cfg, path, where)
            for path, new in changes.get('set', {}).items():
                _set(cfg, path, new, where)


def _check_bool(cfg: Config, name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f'{cfg.filename}: switches.{name} is {value!r}. Give True or False.')


def _changes(cfg: Config, name: str, *, turned_on: bool) -> dict:
    key = 'when_on' if turned_on else 'when_off'
    changes = (cfg.get(key) or {}).get(name)
    if not changes or set(changes) - set(_KEYS):
        raise ConfigError(
            f'{cfg.filename}: turning the switch {name!r} needs {key}.{name} with what it changes '
            f'(set, remove), but that is {changes!r}. Turn it in the config of the recipe.'
        )
    return changes


def _set(cfg: Config, path: str, value: Any, where: str) -> None:
    parents, last = _parents(cfg, path, where)
    for parent in parents:
        for key in _keys_of(parent, last, path, where, may_be_new=True):
            parent[key] = deepcopy(value)


def _remove(cfg: Config, path: str, where: str) -> None:
    parents, last = _parents(cfg, path, where)
    for parent in parents:
        # From the end, so that the numbers of the others stay.
        for key in reversed(_keys_of(parent, last, path, where)):
            del parent[key]


def _parents(cfg: Config, path: str, where: str) -> tuple[list[Any], str]:
    """The containers that a path leads to, and its last part."""
    *parts, last = (match.group() for match in _PART.finditer(path))
    nodes = [cfg._cfg_dict]
    for part in parts:
        nodes = [n[key] for n in nodes for key in _keys_of(n, part, path, where)]
    return nodes, last


def _keys_of(
    node: Any, part: str, path: str, where: str, *, may_be_new: bool = False
) -> list[str | int]:
    """The keys or numbers below a container that a part of a path means."""
    if part.startswith('[') and isinstance(node, list | tuple):
        found: list[str | int] = list(_entries(node, part[1:-1]))
    else:
        found = [part] if isinstance(node, dict) and (may_be_new or part in node) else []
    if not found:
        raise ConfigError(f'{where} names {path}, but there is no {part} there. Correct it.')
    return found


def _entries(node: list | tuple, choice: str) -> Iterator[int]:
    for number, entry in enumerate(node):
        kind = entry.get('type') if isinstance(entry, dict) else None
        if choice in ('*', str(number), kind):
            yield number
