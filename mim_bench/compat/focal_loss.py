"""The sigmoid focal loss with mmcv's signature, in torch."""

import torch
from torch.nn import functional as F


def sigmoid_focal_loss_forward(
    input: torch.Tensor,  # noqa: A002  mmcv's keyword
    target: torch.Tensor,
    weight: torch.Tensor,
    output: torch.Tensor,
    *,
    gamma: float,
    alpha: float,
) -> None:
    """The loss of each score: -a (1 - p)^gamma log p of the target's class, else of 1 - p.

    Args:
        input: Scores before the sigmoid (boxes, classes).
        target: Classes (boxes,), int64; the number of classes is the background.
        weight: Empty, or a factor for each class (classes,), taken by the target's class.
        output: Output, (boxes, classes).
        gamma: Exponent of the missing probability.
        alpha: Weight of the target's class; the others have 1 - alpha.

    Source: RetinaNet, arXiv:1708.02002; mmcv's sigmoid_focal_loss (csrc/common/cuda).
    Differs: the logarithm is exact where mmcv stops at that of the smallest float; a
    background box has weight 1 where mmcv reads past the end of ``weight``.
    """
    scores, is_target, factor = _terms(input, target, weight, alpha)
    # For classes other than the target's, 1 - p replaces p.
    toward = torch.where(is_target, scores, -scores)
    loss = -factor * torch.sigmoid(-toward).pow(gamma) * F.logsigmoid(toward)
    output.copy_(loss)


def sigmoid_focal_loss_backward(
    input: torch.Tensor,  # noqa: A002  mmcv's keyword
    target: torch.Tensor,
    weight: torch.Tensor,
    grad_input: torch.Tensor,
    *,
    gamma: float,
    alpha: float,
) -> None:
    """Write the derivative of each loss by its score to ``grad_input``; others as forward."""
    scores, is_target, factor = _terms(input, target, weight, alpha)
    toward = torch.where(is_target, scores, -scores)
    wrong = torch.sigmoid(-toward)
    slope = factor * wrong.pow(gamma) * (gamma * (1 - wrong) * F.logsigmoid(toward) - wrong)
    grad_input.copy_(torch.where(is_target, slope, -slope))


def _terms(
    scores: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, alpha: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores in at least float32, mask of the target's class, factor of each loss."""
    scores = scores if scores.dtype == torch.float64 else scores.float()
    num_classes = scores.shape[1]
    is_target = target[:, None] == torch.arange(num_classes, device=target.device)
    factor = torch.where(is_target, alpha, 1 - alpha).to(scores)
    if weight.numel():
        of_box = torch.cat((weight.to(scores), scores.new_ones(1)))[target]
        factor = factor * of_box[:, None]
    return scores, is_target, factor
