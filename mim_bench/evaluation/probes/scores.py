"""Accuracy of ranked predictions."""

from collections.abc import Mapping

import torch

from mim_bench.errors import DataError


def topk_hits(
    ranked: torch.Tensor, labels: torch.Tensor, *, num_classes: int
) -> dict[str, torch.Tensor]:
    """Whether the label is the best class (``top1``), and among the five best (``top5``).

    Args:
        ranked: (M, >= 1) int64: predicted classes, best first.
        labels: (M,) int64.
        num_classes: With five or fewer there is no ``top5``.

    Raises:
        DataError: There is nothing to score.
    """
    if not len(labels):
        raise DataError('A probe has no samples to score. Give it a data set that is not empty.')
    right = (ranked == labels.to(ranked.device)[:, None]).cpu()
    hits = {'top1': right[:, 0]}
    if num_classes > 5:
        hits['top5'] = right[:, :5].any(dim=1)
    return hits


def accuracies(hits: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Accuracies in percent from hits, (M,) bool each."""
    return {name: 100 * right.double().mean().item() for name, right in hits.items()}
