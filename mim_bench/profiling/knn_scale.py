"""Time and memory of k-NN on random features of any size."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mim_bench.cost.memory import resident_bytes
from mim_bench.errors import ConfigError
from mim_bench.evaluation.probes.features import X_FILE, Y_FILE, Features
from mim_bench.evaluation.probes.knn import knn_hits
from mim_bench.evaluation.probes.npy_rows import RowWriter

_WRITTEN_ROWS = 16384
_NUM_CLASSES = 1000


@dataclass(frozen=True)
class KnnCost:
    """Cost of k-NN.

    Attributes:
        wall_s: Seconds for all queries, reading included.
        gflop_per_s: Operations of the products of queries and bank over that time.
        peak_resident_bytes: Peak resident memory of the process, imports and the
            pages of mapped files included.
        peak_gpu_bytes: Peak memory of tensors on the GPU; None on a CPU.
    """

    wall_s: float
    gflop_per_s: float
    peak_resident_bytes: int
    peak_gpu_bytes: int | None


def write_random_features(folder: Path, num_rows: int, width: int, *, seed: int = 0) -> None:
    """Write normal features and uniform labels in pieces; existing features are kept.

    Raises:
        ConfigError: The folder has features of another size.
    """
    if (folder / Y_FILE).exists():
        shape = tuple(Features.open(folder).x.shape)
        if shape != (num_rows, width):
            raise ConfigError(
                f'{folder}: holds features of shape {shape}, not {(num_rows, width)}. Delete it or '
                'choose another folder.'
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / X_FILE).unlink(missing_ok=True)  # left by an interrupted run
    generator = torch.Generator().manual_seed(seed)
    with RowWriter(folder / X_FILE, (num_rows, width), 'float32') as out:
        while out.num_rows < num_rows:
            rows = min(_WRITTEN_ROWS, num_rows - out.num_rows)
            out.append(torch.randn(rows, width, generator=generator))
    np.save(folder / Y_FILE, torch.randint(_NUM_CLASSES, (num_rows,), generator=generator).numpy())


def measure_knn(
    bank_folder: Path, query_folder: Path, *, k: int = 20, device: torch.device | str = 'cpu'
) -> KnnCost:
    """Classify the features of one folder by those of another.

    Args:
        bank_folder: Folder with ``x.npy`` (N, D) and ``y.npy`` (N,), memory-mapped.
        query_folder: The same for the queries.
        k: Number of neighbours.
        device: Device to compute on.

    Raises:
        ConfigError: As :func:`mim_bench.evaluation.probes.knn.knn_predict`.
        DataError: A folder has no features.
    """
    bank, query = Features.open(bank_folder), Features.open(query_folder)
    is_gpu = torch.device(device).type == 'cuda'
    if is_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    knn_hits(bank, query, k=k, device=device)
    seconds = time.perf_counter() - start
    operations = 2 * len(bank.x) * len(query.x) * bank.x.shape[1]
    return KnnCost(
        wall_s=seconds,
        gflop_per_s=operations / seconds / 1e9,
        peak_resident_bytes=resident_bytes()[1],
        peak_gpu_bytes=torch.cuda.max_memory_allocated(device) if is_gpu else None,
    )
