"""A file of features of images, written in bounded memory: ``.npz`` or ``.safetensors``."""

import json
import shutil
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from mim_bench.errors import ConfigError, MimBenchError
from mim_bench.evaluation.probes.npy_rows import write_npy_header
from mim_bench.files.atomic import discard, whole_file

ENDINGS = ('.npz', '.safetensors')
_SAFETENSORS_TYPES = {'float32': 'F32', 'float16': 'F16', 'uint8': 'U8'}
_COPIED_BYTES = 1 << 24


class FeatureFile:
    """Writes features batch by batch; a context manager.

    The file has ``features`` (N, D) and, if maps are written, ``maps`` (N, D, rows, cols), in the
    order of ``names``: an array of an ``.npz``, the bytes of UTF-8 text with a line a name in a
    ``.safetensors``. The file gets its name when it is complete.

    Args:
        path: The new file.
        names: A name for each image.
        dtype: ``'float32'`` or ``'float16'``.

    Raises:
        ConfigError: The ending or the type is unknown.
        MimBenchError: The file cannot be written.
    """

    def __init__(self, path: Path, names: Sequence[str], dtype: str = 'float32') -> None:
        if path.suffix not in ENDINGS or dtype not in ('float32', 'float16'):
            raise ConfigError(
                f'{path}: the name must end in {" or ".join(ENDINGS)}, and the type ({dtype}) '
                'be float32 or float16.'
            )
        self._path, self._names, self._dtype = path, list(names), np.dtype(dtype)
        self._parts: dict[str, tuple[BinaryIO, tuple[int, ...]]] = {}
        self._num_rows = 0

    def __enter__(self) -> 'FeatureFile':
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as failure:
            raise self._unwritable(failure) from failure
        finally:
            for file, _ in self._parts.values():
                file.close()
            for name in self._parts:
                discard(self._place(name))

    def append(self, features: torch.Tensor, maps: torch.Tensor | None = None) -> None:
        """Add the next images.

        Args:
            features: (B, D).
            maps: (B, D, rows, cols), of one size in the whole file.
        """
        try:
            for name, rows in {'features': features, 'maps': maps}.items():
                if rows is not None:
                    self._write(name, rows)
        except OSError as failure:
            raise self._unwritable(failure) from failure
        self._num_rows += len(features)

    def _write(self, name: str, rows: torch.Tensor) -> None:
        shape = tuple(rows.shape[1:])
        if name not in self._parts:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._parts[name] = (self._place(name).open('w+b'), shape)
        file, known = self._parts[name]
        if shape != known:
            raise ConfigError(
                f'{self._path}: {name} have the shape {shape}, those before {known}. Give images '
                'of one size.'
            )
        file.write(np.ascontiguousarray(rows.cpu().numpy(), self._dtype).data)

    def _place(self, name: str) -> Path:
        return self._path.with_name(f'.{self._path.name}.{name}.tmp')

    def _finish(self) -> None:
        if self._num_rows != len(self._names):
            raise MimBenchError(
                f'{self._path}: {self._num_rows} features, {len(self._names)} names.'
            )
        write = self._write_npz if self._path.suffix == '.npz' else self._write_safetensors
        with whole_file(self._path) as temporary, temporary.open('wb') as out:
            write(out)

    def _write_npz(self, out: BinaryIO) -> None:
        with zipfile.ZipFile(out, 'w') as archive:
            for name, (file, shape) in self._parts.items():
                with archive.open(f'{name}.npy', 'w', force_zip64=True) as entry:
                    write_npy_header(entry, self._dtype, (self._num_rows, *shape))
                    file.seek(0)
                    shutil.copyfileobj(file, entry, _COPIED_BYTES)
            with archive.open('names.npy', 'w') as entry:
                np.lib.format.write_array(entry, np.array(self._names), allow_pickle=False)

    def _write_safetensors(self, out: BinaryIO) -> None:
        names = '\n'.join(self._names).encode()
        sizes = {
            name: (str(self._dtype), [self._num_rows, *shape], file.tell())
            for name, (file, shape) in self._parts.items()
        }
        sizes['names'] = ('uint8', [len(names)], len(names))
        header, start = {}, 0
        for name, (dtype, shape, size) in sizes.items():
            header[name] = {
                'dtype': _SAFETENSORS_TYPES[dtype],
                'shape': shape,
                'data_offsets': [start, start + size],
            }
            start += size
        text = json.dumps(header).encode()
        text += b' ' * (-len(text) % 8)
        out.write(struct.pack('<Q', len(text)) + text)
        for file, _ in self._parts.values():
            file.seek(0)
            shutil.copyfileobj(file, out, _COPIED_BYTES)
        out.write(names)

    def _unwritable(self, error: OSError) -> MimBenchError:
        return MimBenchError(
            f'{self._path}: cannot be written ({error.strerror or error}). Free some space, or '
            'choose another folder.'
        )
