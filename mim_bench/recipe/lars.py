"""The optimiser LARS as in MAE's linear probe."""

from collections.abc import Callable, Iterable

import torch
from torch.optim import Optimizer

from mim_bench.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class LARS(Optimizer):
    """SGD with momentum whose step of each matrix is proportional to the norm of the matrix.

    Parameters of one dimension use the plain learning rate and are not decayed.

    Args:
        params: Parameters or groups.
        lr: Learning rate.
        momentum: Momentum of the updates.
        weight_decay: L2 penalty of parameters with more than one dimension, inside the ratio.
        trust_coefficient: Step of a matrix as a share of its norm, at a learning rate of 1.

    Source: LARS, arXiv:1708.03888; facebookresearch/mae@efb2a80, util/lars.py.
    Differs from mmpretrain's: the momentum accumulates updates before the learning rate, so the
    current rate scales all of it; no epsilon in the ratio; which parameters adapt depends on their
    number of dimensions.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
    ) -> None:
        defaults = dict(
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            trust_coefficient=trust_coefficient,
        )
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> torch.Tensor | None:
        """Update the parameters.

        Args:
            closure: Evaluates the model again and returns the loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group['params']:
                if parameter.grad is None:
                    continue
                update = parameter.grad
                if parameter.ndim > 1:
                    update = update.add(parameter, alpha=group['weight_decay'])
                    update = update * _trust(parameter, update, group['trust_coefficient'])
                average = self.state[parameter].setdefault('mu', torch.zeros_like(parameter))
                average.mul_(group['momentum']).add_(update)
                parameter.add_(average, alpha=-group['lr'])
        return loss


def _trust(parameter: torch.Tensor, update: torch.Tensor, coefficient: float) -> torch.Tensor:
    """The factor of an update by the norms; 1 where either norm is 0."""
    norm, update_norm = parameter.norm(), update.norm()
    is_defined = (norm > 0) & (update_norm > 0)
    return torch.where(is_defined, coefficient * norm / update_norm, torch.ones_like(norm))
