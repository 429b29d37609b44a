"""Writes the files of the embedded data set atomically, with their digests."""

import hashlib
import os
from pathlib import Path


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
