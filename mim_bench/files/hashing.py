"""Hashes that identify what was measured (protocols) and from what (files)."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mim_bench.errors import ConfigError

_DIGITS = 12


def protocol_hash(settings: Mapping[str, Any]) -> str:
    """First 12 hexadecimal digits of the SHA-256 of the settings that decide what a number means.

    The order of keys does not matter; lists and tuples count as the same. ``1`` and
    ``1.0`` differ, as two protocols that are not known to be equal must.

    Raises:
        ConfigError: A key is not text, or a value is not plain finite data.
    """
    _check_keys(settings)
    try:
        text = json.dumps(settings, sort_keys=True, separators=(',', ':'), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f'A protocol must be plain finite data: {error}. Replace the value before hashing.'
        ) from error
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _check_keys(data: Any) -> None:
    """JSON would write 1 and '1' alike, so two protocols would share a hash."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if not isinstance(key, str):
                raise ConfigError(f'A protocol has the key {key!r}, which is not text. Rename it.')
            _check_keys(value)
    elif isinstance(data, list | tuple):
        for value in data:
            _check_keys(value)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file as 64 hexadecimal digits."""
    return file_hash(path, 'sha256')


def file_hash(path: Path, algorithm: str) -> str:
    """The hash of a file as hexadecimal digits, by the name of the algorithm in hashlib."""
    digest = hashlib.new(algorithm)
    with Path(path).open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
