"""Index of the configs' tasks, read without running them; needs neither torch nor mmengine."""

import ast
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mim_bench.errors import ConfigError
from mim_bench.shipped import shipped_folder

CONFIGS = shipped_folder('configs')

_READ = ('protocol', 'pretraining')
# A key of a protocol that is read only when the config is run.
_TABLES = ('by_backbone',)
_NAME = re.compile(r'(?P<head>[^_]+)_(?P<backbone>[^_]+)_.*')


@dataclass(frozen=True)
class ConfigEntry:
    """A task of a config.

    Attributes:
        path: Path from ``configs/`` on.
        task: Name of the task; ``pretrain`` for a pre-training.
        protocol: Name of its protocol.
        version: Version of the protocol.
        tier: ``full``, ``proxy`` or ``smoke``.
        head: First word of the config's name: the head, or the method of a pre-training.
        backbone: Second word of the config's name.
        method: Method of a pre-training, else None.
        epochs: Epochs of a pre-training, else None.
    """

    path: str
    task: str
    protocol: str
    version: str
    tier: str
    head: str
    backbone: str
    method: str | None = None
    epochs: int | None = None


def index_configs(folder: Path = CONFIGS) -> list[ConfigEntry]:
    """All tasks of all configs below a folder, by path.

    Raises:
        ConfigError: The folder does not exist, or a protocol is not written in plain values.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(f'{folder}: there is no such folder of configs.')
    entries = []
    for path in sorted(folder.rglob('*.py')):
        relative = path.relative_to(folder)
        name = _NAME.fullmatch(path.stem)
        if '_base_' not in relative.parts and name is not None:
            entries += _entries(path, f'configs/{relative.as_posix()}', name)
    return entries


def _entries(path: Path, shown: str, name: re.Match[str]) -> list[ConfigEntry]:
    settings = read_settings(path)
    protocol = settings.get('protocol', {})
    pretraining = settings.get('pretraining', {})
    return [
        ConfigEntry(
            path=shown,
            task=task.get('task', ''),
            protocol=task.get('protocol', {}).get('name', protocol.get('name', '')),
            version=str(protocol.get('version', '')),
            tier=protocol.get('tier', ''),
            head=name['head'],
            backbone=name['backbone'],
            method=pretraining.get('method'),
            epochs=pretraining.get('epochs'),
        )
        for task in protocol.get('tasks', [protocol])
    ]


@cache
def read_settings(path: Path) -> dict[str, Any]:
    """``protocol`` and ``pretraining`` of a config, merged with those of its bases.

    Raises:
        ConfigError: They are not written in plain values, or a base is missing.
    """
    settings: dict[str, Any] = {}
    for base in _bases(path):
        settings = _merged(settings, read_settings(base))
    own = {name: _value(node, path) for name, node in _assigned(path).items() if name in _READ}
    return _merged(settings, own)


@cache
def config_hash(path: Path) -> str:
    """SHA-256 over a config and all its base files.

    Raises:
        ConfigError: See :func:`read_settings`.
    """
    read_settings(path)  # raises if a file cannot be read
    digest = hashlib.sha256(path.read_bytes())
    for base in _bases(path):
        digest.update(config_hash(base).encode())
    return digest.hexdigest()


@cache
def _assigned(path: Path) -> dict[str, ast.expr]:
    """The values that a config assigns to names at its top level."""
    try:
        tree = ast.parse(path.read_text('utf-8'))
    except (OSError, SyntaxError) as error:
        raise ConfigError(f'{path}: cannot be read as a config: {error}') from error
    return {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _bases(path: Path) -> list[Path]:
    node = _assigned(path).get('_base_')
    bases = [] if node is None else _value(node, path)
    return [(path.parent / b).resolve() for b in ([bases] if isinstance(bases, str) else bases)]


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge dicts key by key, as mmengine does; other values are replaced."""
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _value(node: ast.expr, path: Path) -> Any:
    """Evaluate ``dict(...)``, a list or a literal."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        words = [word for word in node.keywords if word.arg not in _TABLES]
        return {word.arg: _value(word.value, path) for word in words}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item, path) for item in node.elts]
    if isinstance(node, ast.Constant):
        return node.value
    raise ConfigError(
        f'{path}:{node.lineno}: {ast.unparse(node)} is no plain value, and protocol, pretraining '
        'and _base_ are read without running the config. Write the value itself.'
    )
