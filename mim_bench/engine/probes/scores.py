"""Accuracy of ranked predictions."""

import torch

from mim_bench.errors import DataError


def topk_accuracies(
    ranked: torch.Tensor, labels: torch.Tensor, *, num_classes: int
) -> dict[str, float]:
    """Top-1 and top-5 accuracy in percent.

    Args:
        ranked: (M, >= 1) int64: predicted classes, best first.
        labels: (M,) int64.
        num_classes: With at most five classes a top-5 accuracy says nothing and is left
            out.

    Raises:
        DataError: There is nothing to score.
    """
    if not len(labels):
        raise DataError('A probe has no samples to score. Give it a data set that is not empty.')
    hits = ranked == labels.to(ranked.device)[:, None]
    scores = {'top1': 100 * hits[:, 0].double().mean().item()}
    if num_classes > 5:
        scores['top5'] = 100 * hits[:, :5].any(dim=1).double().mean().item()
    return scores
