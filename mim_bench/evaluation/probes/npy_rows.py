"""Reads and writes rows of ``.npy`` files in pieces."""

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Literal

import numpy as np
import torch

from mim_bench.errors import DataError

# Rows fetched by number at a time. The kernel maps up to 16 pages (64 KiB) around each, so at most
# 64 MiB until they are released.
_GATHERED_ROWS = 1024
_JOINED_ROWS = 16384


def load_npy(path: str | Path, mmap_mode: Literal['r'] | None = None) -> np.ndarray:
    """Read a ``.npy`` file; a missing or damaged one raises a ``DataError``."""
    try:
        return np.load(path, mmap_mode=mmap_mode)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f'{path}: is not a complete .npy file ({error}). Delete it.') from error


class MappedRows:
    """A memory-mapped (N, D) ``.npy`` file, read as float32.

    It can be indexed like a tensor by a slice or by a tensor of row numbers.
    Rows are copied and their pages released at once, so that a large file does not count
    as memory of the process; the file cache of the system still keeps it.

    Raises:
        DataError: The file is missing, cut short, or no table of numbers.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._rows = load_npy(path, mmap_mode='r')
        if self._rows.ndim != 2 or self._rows.dtype.kind != 'f':
            raise DataError(
                f'{path}: holds {self._rows.dtype} of shape {self._rows.shape}, not floating '
                'numbers of shape (N, D). Delete it.'
            )
        self.shape = torch.Size(self._rows.shape)
        self.dtype = self._rows.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions, always 2."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | torch.Tensor) -> torch.Tensor:
        """Copies of some rows (M, D) float32, in the order of the index.

        Args:
            index: A slice, or int64 row numbers (M,), which are read in the order of the file.
        """
        if isinstance(index, slice):
            return self._read(index)
        order = index.argsort()
        rows = torch.empty(len(index), self.shape[1])
        for piece in order.split(_GATHERED_ROWS):
            rows[piece] = self._read(index[piece].numpy())
        return rows

    def _read(self, index: slice | np.ndarray) -> torch.Tensor:
        rows = torch.from_numpy(np.array(self._rows[index])).float()
        if hasattr(mmap, 'MADV_DONTNEED'):  # not on every system
            self._rows.base.madvise(mmap.MADV_DONTNEED)
        return rows


class RowsView:
    """Some rows (all if None) and columns of a table, read when it is indexed as the table is."""

    def __init__(
        self, table: torch.Tensor | MappedRows, columns: slice, rows: torch.Tensor | None = None
    ) -> None:
        self._table, self._columns, self._rows = table, columns, rows
        width = len(range(*columns.indices(table.shape[1])))
        self.shape = torch.Size((len(table) if rows is None else len(rows), width))
        self.dtype = table.dtype
        self.ndim = 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | torch.Tensor) -> torch.Tensor:
        """Copies of some rows, in the order of the index."""
        index = index if self._rows is None else self._rows[index]
        return self._table[index][:, self._columns]


def write_npy_header(file: IO[bytes], dtype: np.dtype, shape: Sequence[int]) -> None:
    """Write the header of a ``.npy`` file."""
    header = {
        'descr': np.lib.format.dtype_to_descr(dtype),
        'fortran_order': False,
        'shape': tuple(shape),
    }
    np.lib.format.write_array_header_1_0(file, header)


class RowWriter:
    """Writes a new ``.npy`` file row by row, converted to a type; a context manager.

    It writes instead of mapping, since on a full disk a write raises, while a mapped page kills
    the process. Fewer rows than those of ``shape`` may follow: the header counts those written.
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: str) -> None:
        self.num_rows = 0
        self._dtype = np.dtype(dtype)
        self._expected = tuple(shape)
        self._file = path.open('xb')
        write_npy_header(self._file, self._dtype, self._expected)

    def __enter__(self) -> 'RowWriter':
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                if self.num_rows != self._expected[0]:
                    self._file.seek(0)
                    # numpy leaves room for any number of rows, so the header has the same length.
                    shape = (self.num_rows, *self._expected[1:])
                    write_npy_header(self._file, self._dtype, shape)
                self._file.flush()
                os.fsync(self._file.fileno())  # a full disk may be reported only here
        finally:
            self._file.close()

    def append(self, rows: torch.Tensor) -> None:
        """Add rows, shape (M, ...), at the end."""
        self._file.write(np.ascontiguousarray(rows.numpy(), self._dtype).data)
        self.num_rows += len(rows)


def join_in_turn(parts: Sequence[Path], path: Path, num_rows: int, dtype: str) -> None:
    """Interleave P files of (N, D) into a new one: row i is row i // P of part i % P."""
    sources = [MappedRows(part) for part in parts]
    step = _JOINED_ROWS * len(parts)
    with RowWriter(path, (num_rows, sources[0].shape[1]), dtype) as out:
        for start in range(0, num_rows, step):
            block = torch.empty(min(step, num_rows - start), sources[0].shape[1])
            for turn, source in enumerate(sources):
                first, count = start // len(parts), len(block[turn :: len(parts)])
                block[turn :: len(parts)] = source[first : first + count]
            out.append(block)
