"""Patches of mmsegmentation's cross entropy and accuracy for ignored pixels."""

import functools
from types import ModuleType
from typing import Any

import torch


def mend(losses: ModuleType) -> None:
    """Patch ``mmseg.models.losses.cross_entropy_loss`` to average over pixels that are not ignored.

    mmsegmentation 1.2.2 looks up the weight of every label, that of ignored pixels (255) too,
    and fails where no such class exists. The fork leaves them out, as
    torch's own cross entropy does; with this patch both do.

    Args:
        losses: The module, freshly imported.
    """
    original = losses.cross_entropy

    @functools.wraps(original)
    def cross_entropy(
        pred: torch.Tensor,
        label: torch.Tensor,
        weight: torch.Tensor | None = None,
        class_weight: torch.Tensor | None = None,
        reduction: str = 'mean',
        avg_factor: float | torch.Tensor | None = None,
        ignore_index: int = -100,
        **settings: Any,
    ) -> torch.Tensor:
        if class_weight is not None and avg_factor is None and reduction == 'mean':
            avg_factor = class_weight[label[label != ignore_index]].sum()
        return original(
            pred, label, weight, class_weight, reduction, avg_factor, ignore_index, **settings
        )

    losses.cross_entropy = cross_entropy


def mend_accuracy(losses: ModuleType) -> None:
    """Patch ``mmseg.models.losses.accuracy`` to count without synchronising with the device.

    mmsegmentation selects the pixels that are not ignored, which makes torch read their number from
    the device, twice in every training step. The result is the same.

    Args:
        losses: The module, freshly imported.
    """
    original = losses.accuracy

    @functools.wraps(original)
    def accuracy(
        pred: torch.Tensor,
        target: torch.Tensor,
        topk: int | tuple[int, ...] = 1,
        thresh: float | None = None,
        ignore_index: int | None = None,
    ) -> torch.Tensor | list[torch.Tensor]:
        if topk != 1 or thresh is not None or ignore_index is None or not len(pred):
            return original(pred, target, topk, thresh, ignore_index)
        counts = target != ignore_index
        correct = ((pred.argmax(1) == target) & counts).sum()
        eps = torch.finfo(torch.float32).eps  # all pixels may be ignored
        return (100 * (correct + eps) / (counts.sum() + eps))[None]

    losses.accuracy = accuracy
