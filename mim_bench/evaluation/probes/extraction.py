"""Extracts the features of a data set with a frozen model into files, on all processes."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from torch import nn
from torch.utils.data import DataLoader, RandomSampler

from mim_bench.errors import ConfigError, DataError, TrainingError
from mim_bench.evaluation.isolation import evaluating, preserved_rng
from mim_bench.evaluation.probes.features import X_FILE, Y_FILE, Features
from mim_bench.evaluation.probes.npy_rows import RowWriter, join_in_turn
from mim_bench.evaluation.probes.pooling import backbone_outputs, pool
from mim_bench.evaluation.probes.together import on_every_process, on_main_process
from mim_bench.recipe.tta import unwrap

DTYPES = ('float32', 'float16')
# Values of `fp16`, the precision of the model; False is float32 throughout.
ARITHMETICS = (False, True, 'tf32', 'bf16', 'fp16')
_AUTOCAST = {'bf16': torch.bfloat16, 'fp16': torch.float16}


def extract_features(
    model: nn.Module,
    dataloader: DataLoader,
    folder: Path,
    *,
    pooling: str,
    every_layer: bool = False,
    fp16: bool | str = False,
    dtype: str = 'float32',
    on_batch: Callable[[int, int], None] | None = None,
) -> Features:
    """Extract the pooled features of all samples, in the order of the data set.

    The modes of the model and random states are restored afterwards. Every process writes its
    share batch by batch, and the first one joins them: no process holds all in memory.

    Args:
        model: Model with ``data_preprocessor`` and ``extract_feat(inputs)``, wrapped or not. A
            pre-training model must return features of the unmasked image.
        dataloader: Its sampler does not shuffle, deals samples to processes in turn
            (mmengine's ``DefaultSampler(shuffle=False)``), and no sample is dropped.
        folder: An empty folder that all processes see. It gets ``x.npy`` (N, D) and ``y.npy``
            (N,), no sample twice; after an error its files are unusable.
        pooling: See :func:`mim_bench.evaluation.probes.pooling.pool`.
        every_layer: Pool every output of the backbone and put them side by side; else the last.
        fp16: One of ``ARITHMETICS``; True is autocast in float16 on CUDA and bfloat16 on a CPU.
        dtype: Type in the file; ``'float16'`` takes half the space and rounds to 11 bits.
        on_batch: Called after each batch with (batches done, batches in all).

    Returns:
        The mapped files; the same on every process.

    Raises:
        ConfigError: The loader, ``pooling`` or ``dtype`` does not fit.
        DataError: A sample has no single class label.
        TrainingError: A feature is not finite (or too large for float16), or all are the same.
        MimBenchError: The folder cannot be written.
    """
    check_loader(dataloader, dtype)
    model = unwrap(model)
    size, num_parts = len(dataloader.dataset), get_world_size()

    def write() -> Share:
        batches = features_of_batches(model, dataloader, pooling, fp16, on_batch, every_layer)
        with closing(batches):
            return _write_share(batches, len(dataloader.sampler), folder, dtype)

    shares = on_every_process(write)
    check_shares(shares, size, dtype)
    on_main_process(lambda: _join(folder, size, num_parts, dtype))
    return open_on_every_process(folder)


def open_on_every_process(folder: Path, open_folder: Callable[[Path], Any] = Features.open) -> Any:
    """Map the features of a folder on every process, or raise on every one."""
    opened = []
    on_every_process(lambda: opened.append(open_folder(folder)))
    return opened[0]


@contextmanager
def arithmetic(device: torch.device, kind: bool | str) -> Iterator[None]:
    """Context in which a model computes with one of :data:`ARITHMETICS`."""
    check_arithmetic(kind)
    if kind == 'tf32':
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision('high')
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)
        return
    with torch.autocast(device.type, dtype=_AUTOCAST.get(kind), enabled=bool(kind)):
        yield


def arithmetic_name(device: torch.device, kind: bool | str) -> str | None:
    """Name of an :func:`arithmetic` among the settings of features; None for float32."""
    if kind == 'tf32':
        return kind
    return str(_AUTOCAST.get(kind, torch.get_autocast_dtype(device.type))) if kind else None


def check_arithmetic(kind: bool | str) -> None:
    """Refuse anything but :data:`ARITHMETICS` by a ``ConfigError``."""
    if kind not in ARITHMETICS:
        raise ConfigError(
            f'test_cfg.fp16={kind!r} is unknown. Known: {", ".join(map(str, ARITHMETICS))}.'
        )


def backbone_of(model: nn.Module) -> nn.Module:
    """The module that computes the features: ``model.backbone``, or the model itself."""
    return getattr(model, 'backbone', model)


@dataclass
class Share:
    """The samples that one process has read; sample i belongs to process i % world size.

    Attributes:
        not_finite: Numbers of the samples whose features are not finite.
        first: (D,) features of the first sample.
        is_constant: Whether all samples have these features.
    """

    num_samples: int = 0
    not_finite: list[int] = field(default_factory=list)
    first: torch.Tensor | None = None
    is_constant: bool = True

    def add(self, x: torch.Tensor) -> None:
        """Check the features (B, D) of the next samples."""
        rows = (~x.isfinite()).any(dim=1).nonzero().flatten() + self.num_samples
        self.not_finite += (rows * get_world_size() + get_rank()).tolist()
        self.first = x[0].clone() if self.first is None else self.first
        self.is_constant = self.is_constant and all(torch.equal(row, self.first) for row in x)
        self.num_samples += len(x)


def check_loader(dataloader: DataLoader, dtype: str) -> None:
    """Refuse a loader that shuffles, and an unknown type of features, by a ``ConfigError``."""
    sampler = dataloader.sampler
    if getattr(sampler, 'shuffle', False) or isinstance(sampler, RandomSampler):
        raise ConfigError(
            'Features are extracted in the order of the data set, but the sampler shuffles. '
            "Use sampler=dict(type='DefaultSampler', shuffle=False)."
        )
    if dtype not in DTYPES:
        raise ConfigError(f'feature_dtype={dtype!r} is unknown. Known: {", ".join(DTYPES)}.')


def features_of_batches(
    model: nn.Module,
    dataloader: DataLoader | Sequence[Any],
    pooling: str,
    fp16: bool | str,
    on_batch: Callable[[int, int], None] | None = None,
    every_layer: bool = False,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Features (B, D) float32 and labels (B,), on the CPU; arguments of `extract_features`.

    Close the iterator: otherwise, after an error, it restores modes and random states much later.
    """
    device = next(model.parameters()).device
    with preserved_rng(), evaluating(model), arithmetic(device, fp16):
        for done, batch in enumerate(dataloader, start=1):
            inputs, labels = _prepare(model, batch)
            outputs = backbone_outputs(model, inputs)
            chosen = outputs if every_layer else outputs[-1:]
            features = [pool(output, pooling, backbone_of(model)) for output in chosen]
            yield torch.cat(features, dim=1).float().cpu(), labels
            if on_batch is not None:
                on_batch(done, len(dataloader))


def _prepare(model: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    data = model.data_preprocessor(batch, False)
    inputs, samples = data['inputs'], data['data_samples']
    if not isinstance(inputs, torch.Tensor):
        raise ConfigError(
            f'The data preprocessor gave {type(inputs).__name__} instead of one (B, C, H, W) '
            "tensor. Set collate_fn=dict(type='default_collate') in the loader."
        )
    if isinstance(samples, torch.Tensor):
        return inputs, samples.reshape(len(inputs)).long().cpu()
    return inputs, torch.tensor([_label(sample) for sample in samples or []])


def _label(sample: Any) -> int:
    label = getattr(sample, 'gt_label', None)
    if label is None or label.numel() != 1:
        name = getattr(sample, 'metainfo', {}).get('img_path', 'a sample')
        raise DataError(f'{name}: a probe needs one class label a sample. Use a labelled data set.')
    return int(label)


def _write_share(
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]], num_rows: int, folder: Path, dtype: str
) -> Share:
    """Write this process's features."""
    rank, share, labels = get_rank(), Share(), []
    with ExitStack() as stack:
        writer = None
        for x, y in batches:
            if writer is None:
                shape = (num_rows, x.shape[1])
                writer = stack.enter_context(RowWriter(_part(folder, rank), shape, dtype))
            x = x.to(getattr(torch, dtype))
            share.add(x)
            writer.append(x)
            labels.append(y)
    if writer is None:
        raise DataError('The loader gave no batch. Give it a data set that is not empty.')
    y = torch.cat(labels)
    if len(y) != share.num_samples:
        raise ConfigError(
            f'A process read {share.num_samples} samples and {len(y)} labels. Let PackInputs pack '
            'gt_label of every image.'
        )
    np.save(_labels_part(folder, rank), y.numpy())
    return share


def _part(folder: Path, rank: int) -> Path:
    return folder / f'x.{rank}.npy'


def _labels_part(folder: Path, rank: int) -> Path:
    return folder / f'y.{rank}.npy'


def check_shares(shares: Sequence[Share], size: int, dtype: str) -> None:
    """Check that no sample is missing, and that features are numbers that depend on the image.

    Args:
        shares: By process; a distributed sampler may repeat samples.
        size: Samples of the data set.
        dtype: Type of the features.

    Raises:
        ConfigError: A process read more or fewer samples than its share.
        TrainingError: Features are not finite, or all samples have the same.
    """
    most = math.ceil(size / len(shares))
    for rank, share in enumerate(shares):
        if not len(range(rank, size, len(shares))) <= share.num_samples <= most:
            raise ConfigError(
                f'Process {rank} read {share.num_samples} samples of a data set of {size} over '
                f'{len(shares)} processes. Use DefaultSampler without shuffling and '
                'drop_last=False.'
            )
    bad = [number for share in shares for number in share.not_finite if number < size]
    if bad:  # a repeated sample counts once
        raise TrainingError(
            f'Features of {len(bad)} of {size} samples are not finite in {dtype}, the first at '
            f'index {min(bad)}. The weights are probably damaged or the training diverged: '
            'look at the loss curve and use an earlier checkpoint.'
        )
    firsts = [share.first for share in shares if share.num_samples]
    is_constant = all(share.is_constant for share in shares)
    if size > 1 and is_constant and all(torch.equal(first, firsts[0]) for first in firsts):
        raise TrainingError(
            f'All {size} samples have the same features in {dtype}: the network ignores its '
            'images. The weights are damaged, or the training collapsed. Use an earlier checkpoint.'
        )


def _join(folder: Path, size: int, num_parts: int, dtype: str) -> None:
    """Join the shares of all processes in the order of the data set."""
    parts = [_part(folder, rank) for rank in range(num_parts)]
    if num_parts == 1:
        parts[0].rename(folder / X_FILE)
    else:
        join_in_turn(parts, folder / X_FILE, size, dtype)
    labels = np.empty(size, np.int64)
    for rank in range(num_parts):
        own = labels[rank::num_parts]
        own[:] = np.load(_labels_part(folder, rank))[: len(own)]
        _labels_part(folder, rank).unlink()
        parts[rank].unlink(missing_ok=True)
    np.save(folder / Y_FILE, labels)
