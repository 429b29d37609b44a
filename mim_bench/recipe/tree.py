"""Configs as trees: the dictionaries below a part, dotted keys, and plain data."""

from collections.abc import Iterator, Mapping
from typing import Any


def dictionaries(node: Any) -> Iterator[Any]:
    """Every dictionary at and below a part of a config, outer ones first.

    One may be changed as soon as it is yielded.
    """
    return (found for _, found in named_dictionaries(node))


def named_dictionaries(node: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    """The dictionaries of :func:`dictionaries`, each with its dotted key.

    Args:
        node: Part of a config.
        name: Dotted key of the part.
    """
    if isinstance(node, Mapping):
        yield name, node
        items = list(node.items())
    else:
        items = list(enumerate(node)) if isinstance(node, list | tuple) else []
    for key, value in items:
        yield from named_dictionaries(value, f'{name}.{key}'.lstrip('.'))


def inner_dataset(loader: Any) -> dict[str, Any]:
    """The config of a loader's data set, inside of wrappers without a pipeline; {} if none."""
    node = loader
    while isinstance(node, dict) and isinstance(node.get('dataset'), dict):
        if 'pipeline' in node:
            break
        node = node['dataset']
    return node if isinstance(node, dict) and node is not loader else {}


def add_to_names(cfg: Mapping[str, Any], suffix: str) -> None:
    """Append a suffix to the name of a run's protocol, and of those that its tasks have."""
    protocol = cfg.get('protocol') or {}
    tasks = protocol.get('tasks') or ()
    for owner in (protocol, *(task.get('protocol') or {} for task in tasks)):
        if 'name' in owner:
            owner['name'] += suffix


def read_key(node: Any, key: str, default: Any = None) -> Any:
    """The value at a dotted key; numbers index lists."""
    for part in key.split('.'):
        if isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif hasattr(node, 'get') and part in node:
            node = node[part]
        else:
            return default
    return node


def plain(value: Any) -> Any:
    """Convert mappings to dicts and sequences to lists, so that settings can be compared."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value
