"""Labelled features of a data set, in memory or in files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mim_bench.errors import DataError
from mim_bench.evaluation.probes.npy_rows import MappedRows

X_FILE = 'x.npy'
Y_FILE = 'y.npy'


@dataclass(frozen=True)
class Features:
    """Features of a data set, in its order.

    Attributes:
        x: (N, D) float32 on the CPU. A memory-mapped file returns tensors when it is
            indexed by slices or row numbers.
        y: (N,) int64 on the CPU: labels, counted from 0.
    """

    x: torch.Tensor | MappedRows
    y: torch.Tensor

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or self.y.shape != self.x.shape[:1] or not len(self.y):
            raise DataError(
                f'Features of shape {tuple(self.x.shape)} with labels of shape '
                f'{tuple(self.y.shape)}. They must be (N, D) and (N,), with N at least 1.'
            )
        if self.y.min() < 0:
            raise DataError(f'Label {int(self.y.min())} is negative. Labels count from 0.')

    @property
    def num_classes(self) -> int:
        """One more than the largest label."""
        return int(self.y.max()) + 1

    @classmethod
    def open(cls, folder: str | Path) -> 'Features':
        """Map the files ``x.npy`` (N, D) and ``y.npy`` (N,) of a folder.

        Raises:
            DataError: A file is missing or damaged, or the two do not fit.
        """
        path = Path(folder) / Y_FILE
        try:
            labels = np.load(path)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f'{path}: not a whole .npy file: {error}. Delete it.') from error
        return cls(MappedRows(Path(folder) / X_FILE), torch.from_numpy(labels))
