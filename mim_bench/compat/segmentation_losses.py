"""mmsegmentation's cross entropy with weights of classes where pixels are ignored."""

import functools
from types import ModuleType
from typing import Any

import torch


def mend(losses: ModuleType) -> None:
    """Make ``mmseg.models.losses.cross_entropy_loss`` average over the pixels that count.

    mmsegmentation 1.2.2 looks up the weight of every label, that of ignored pixels (255) too,
    and fails where a class of that number does not exist. The fork leaves them out, which is
    what torch's own cross entropy does; here both do.

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
