"""Extracting the features of a data set with a frozen model, on one process or many."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dist import all_gather, get_world_size
from mmengine.model import is_model_wrapper
from torch import nn
from torch.utils.data import DataLoader, RandomSampler

from mim_bench.engine.isolation import evaluating, preserved_rng
from mim_bench.engine.probes.pooling import last_features, pool
from mim_bench.errors import ConfigError, DataError, TrainingError


@dataclass(frozen=True)
class Features:
    """Features of a data set, in its order: x (N, D) float32 and labels y (N,) int64 on the CPU."""

    x: torch.Tensor
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


def extract_features(
    model: nn.Module,
    dataloader: DataLoader,
    *,
    pooling: str,
    fp16: bool = False,
    on_batch: Callable[[int, int], None] | None = None,
) -> Features:
    """The pooled features of every sample of a data set, in the order of the data set.

    The model is in evaluation mode meanwhile and gets its modes back; random states are
    left as they were. Every process returns the features of the whole data set, no sample
    twice.

    Args:
        model: With ``data_preprocessor`` and ``extract_feat(inputs)``, wrapped or not. A
            pre-training model must return features of the unmasked image.
        dataloader: Its sampler does not shuffle, deals samples to processes in turn
            (mmengine's ``DefaultSampler(shuffle=False)``), and no sample is dropped.
        pooling: ``'gap'`` or ``'cls'``, see :func:`mim_bench.engine.probes.pooling.pool`.
        fp16: Run the model under autocast (float16 on CUDA, bfloat16 on CPU).
        on_batch: Called after each batch with (batches done, batches in all).

    Raises:
        ConfigError: The loader shuffles or drops samples, or ``pooling`` does not fit
            the model's output.
        DataError: A sample has no single class label.
        TrainingError: A feature is not finite.
    """
    if getattr(dataloader.sampler, 'shuffle', False) or isinstance(
        dataloader.sampler, RandomSampler
    ):
        raise ConfigError(
            'Features are extracted in the order of the data set, but the sampler shuffles. '
            "Use sampler=dict(type='DefaultSampler', shuffle=False)."
        )
    model = model.module if is_model_wrapper(model) else model
    device = next(model.parameters()).device
    xs, ys = [], []
    autocast = torch.autocast(device.type, enabled=fp16)
    with preserved_rng(), evaluating(model), autocast:
        for done, batch in enumerate(dataloader, start=1):
            inputs, labels = _prepare(model, batch)
            features = pool(last_features(model, inputs), pooling, backbone_of(model))
            xs.append(features.float().cpu())
            ys.append(labels)
            if on_batch is not None:
                on_batch(done, len(dataloader))
    if not xs:
        raise DataError('The loader gave no batch. Give it a data set that is not empty.')
    features = _gather(torch.cat(xs), torch.cat(ys), size=len(dataloader.dataset))
    _check_finite(features.x)
    return features


def backbone_of(model: nn.Module) -> nn.Module:
    """The module that made the features: ``model.backbone``, or the model itself."""
    return getattr(model, 'backbone', model)


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


def _gather(x: torch.Tensor, y: torch.Tensor, *, size: int) -> Features:
    """Join the parts of all processes; sample i was dealt to process i % world size."""
    world_size = get_world_size()
    rows = math.ceil(size / world_size)
    if not rows - 1 <= len(x) <= rows or len(x) != len(y) or (world_size == 1 and len(x) != size):
        raise ConfigError(
            f'A process read {len(x)} samples and {len(y)} labels of a data set of {size} over '
            f'{world_size} processes. Use DefaultSampler without shuffling and drop_last=False.'
        )
    if world_size == 1:
        return Features(x, y)
    if len(x) < rows:  # a sampler with round_up=False; the row is cut off again below
        x, y = torch.cat([x, x[-1:]]), torch.cat([y, y[-1:]])
    # (rows, world, ...) -> (rows * world, ...)
    x, y = (torch.stack(all_gather(part), dim=1).flatten(0, 1)[:size] for part in (x, y))
    return Features(x, y)


def _check_finite(x: torch.Tensor) -> None:
    bad = (~x.isfinite()).any(dim=1).nonzero().flatten()
    if len(bad):
        raise TrainingError(
            f'Features of {len(bad)} of {len(x)} samples are not finite, the first at index '
            f'{int(bad[0])}. The weights are probably damaged or the training diverged: look at '
            'the loss curve and use an earlier checkpoint.'
        )
