"""State of the folder of an embedded data set: finished, unfinished, free, or foreign.

``toy.json`` is written last and makes the folder a finished dataset. Until then
``toy.partial.json`` marks that everything in it may be deleted.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mim_bench.data.archives import read_file
from mim_bench.data.toy.spec import ToySize, ToySpec
from mim_bench.errors import DataError

MANIFEST = 'toy.json'
PARTIAL = 'toy.partial.json'

_BYTES_AN_IMAGE = 9000  # on the disk, annotations included


def read_manifest(root: Path) -> dict[str, Any] | None:
    """The manifest of a finished embedded dataset, or None if the folder is not one."""
    try:
        manifest = json.loads(read_file(root / MANIFEST))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise DataError(
            f'{root / MANIFEST} is not JSON ({error}). Delete the folder and make it again.'
        ) from error
    return manifest if isinstance(manifest, dict) and 'generator_version' in manifest else None


def read_finished(root: Path, spec: ToySpec) -> dict[str, Any] | None:
    """The manifest if the wanted data set is there, None if the folder may be written."""
    if root.exists() and not root.is_dir():
        raise DataError(f'{root} is a file. Choose a folder for the embedded dataset.')
    manifest = read_manifest(root)
    wanted = spec.to_dict()
    if manifest is not None:
        found = {key: manifest.get(key) for key in wanted}
        if found == wanted:
            return manifest
        differing = [key for key in wanted if found[key] != wanted[key]]
        raise DataError(
            f'{root} holds another embedded dataset: it has '
            + ', '.join(f'{key} {found[key]} instead of {wanted[key]}' for key in differing)
            + '. '
            'Choose another folder, or delete this one first.'
        )
    if root.is_dir() and any(root.iterdir()) and not (root / PARTIAL).exists():
        raise DataError(
            f'{root} is not empty and is not an embedded dataset, so nothing was written. '
            'Choose another folder.'
        )
    return None


@contextmanager
def claim(root: Path, spec: ToySpec) -> Iterator[None]:
    """Mark the folder as unfinished while the block runs; clear it when the block fails."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        write_file(root / PARTIAL, json.dumps(spec.to_dict()).encode())
        _remove_layouts(root)
        yield
        (root / PARTIAL).unlink()
    except OSError as error:
        _discard(root)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(
            f'The disk is full: {root} could not be written, and the unfinished part was '
            f'removed. The dataset of {spec.size.num_images} images takes about '
            f'{spec.size.num_images * _BYTES_AN_IMAGE / 1e6:.0f} MB. '
            'Free some space or choose another folder, and run again.'
        ) from error


def _discard(root: Path) -> None:
    """Delete what an unfinished call wrote, the mark last."""
    _remove_layouts(root)
    for name in (f'{MANIFEST}.tmp', f'{PARTIAL}.tmp', PARTIAL):
        (root / name).unlink(missing_ok=True)


def _remove_layouts(root: Path) -> None:
    for name in (*ToySize().to_dict(), 'imagenet-r'):
        shutil.rmtree(root / name, ignore_errors=True)


def write_file(path: Path, data: bytes) -> str:
    """Write a file under a temporary name, rename it, and return its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'{path.name}.tmp')
    temporary.write_bytes(data)
    os.replace(temporary, path)
    return hashlib.sha256(data).hexdigest()


def combined_digest(digests: dict[str, str]) -> str:
    """One SHA-256 over the names and digests of many files, independent of their order."""
    lines = [f'{digests[name]}  {name}\n' for name in sorted(digests)]
    return hashlib.sha256(''.join(lines).encode()).hexdigest()
