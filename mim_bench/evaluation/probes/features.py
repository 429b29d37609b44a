"""Labelled features of a data set, in memory or in files."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mim_bench.errors import DataError
from mim_bench.evaluation.probes.npy_rows import MappedRows, load_npy

_CPU_ROOM_BYTES = 512 * 2**20
X_FILE = 'x.npy'
Y_FILE = 'y.npy'


@dataclass(frozen=True)
class Features:
    """Features of a data set, in its order.

    Attributes:
        x: (N, D) float32, on any device. A memory-mapped file returns tensors on the CPU when it
            is indexed by slices or row numbers.
        y: (N,) int64 on the CPU: labels, counted from 0.
        known_classes: Classes of the data set, of which a few images may show only some.
    """

    x: torch.Tensor | MappedRows
    y: torch.Tensor
    known_classes: int = 0

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
        """Those of the data set, at least one more than the largest label."""
        return max(self.known_classes, int(self.y.max()) + 1)

    def near(self, device: torch.device | str) -> 'Features':
        """The same features on a device if they fit there, else as they are.

        They may take half of a GPU's free memory, or 512 MiB on a CPU.
        """
        if 4 * self.x.shape[0] * self.x.shape[1] > _room_bytes(torch.device(device)):
            return self
        return replace(self, x=self.x[:].to(device))

    @classmethod
    def open(cls, folder: str | Path) -> 'Features':
        """Map ``x.npy`` (N, D) and ``y.npy`` (N,) of a folder, or raise a ``DataError``."""
        labels = load_npy(Path(folder) / Y_FILE)
        return cls(MappedRows(Path(folder) / X_FILE), torch.from_numpy(labels))


def _room_bytes(device: torch.device) -> int:
    if device.type != 'cuda':
        return _CPU_ROOM_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    return free // 2
