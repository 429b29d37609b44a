"""Writes the files of the embedded data set atomically, with their digests."""

import hashlib
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

JPEG_QUALITY = 90


def encode_jpeg(image: np.ndarray) -> bytes:
    """Encode an RGB image, uint8 (height, width, 3), as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format='JPEG', quality=JPEG_QUALITY)
    return buffer.getvalue()


def encode_png(labels: np.ndarray, palette: bytes | None = None) -> bytes:
    """Encode a label map, uint8 (height, width), as PNG of mode P with a palette, else L."""
    buffer = io.BytesIO()
    image = Image.fromarray(labels)
    if palette is not None:
        image.putpalette(palette)
    image.save(buffer, format='PNG', optimize=False)
    return buffer.getvalue()


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
