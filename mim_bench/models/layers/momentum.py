"""The momentum network: a frozen moving average of parts of a model."""

import math
from collections.abc import Mapping

import torch
from mmpretrain.models.utils import CosineEMA
from torch import nn

from mim_bench.errors import ConfigError


class MomentumNetwork(CosineEMA):
    """Exponential moving averages of a model's parts, updated after every optimiser step.

    ``teacher <- m teacher + (1 - m) student``, on parameters only; m rises along half a cosine.
    No parameter of it ever gets a gradient. :class:`mim_bench.engine.hooks.momentum_hook.
    MomentumHook` updates the attribute ``momentum_network`` of a model::

        self.momentum_network = MomentumNetwork(dict(backbone=self.backbone, neck=self.neck))

        def init_weights(self):
            super().init_weights()
            self.momentum_network.synchronize(self)

    Args:
        parts: Modules to copy, by the name of the model's attribute.
        base_momentum: m of the first update, in (0, 1).
        end_momentum: m at the end of the training, in [base_momentum, 1].
        train_mode: Follow the model into train mode, so that BatchNorm normalises by the
            batch that the momentum network sees; otherwise it always stays in evaluation mode.

    Raises:
        ConfigError: A momentum is out of its range.

    Source: BYOL, arXiv:2006.07733; ConMIM, TencentARC/ConMIM@4263955.
    Differs: mmengine's averaged models copy at their first update and copy the model's buffers
    over their own at every one; this class averages from the first update on, and its buffers
    (BatchNorm's running statistics) come from its own forward passes.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        base_momentum: float = 0.996,
        end_momentum: float = 1.0,
        train_mode: bool = True,
    ) -> None:
        if not 0 < base_momentum < 1 or not base_momentum <= end_momentum <= 1:
            raise ConfigError(
                f'MomentumNetwork: base_momentum {base_momentum} must lie in (0, 1) and '
                f'end_momentum {end_momentum} between it and 1. 0.996 means that an update '
                'takes 0.4 % of the model.'
            )
        super().__init__(
            nn.ModuleDict(parts), momentum=1 - base_momentum, end_momentum=1 - end_momentum
        )
        self.train_mode = train_mode
        self.train(self.training)

    def __getitem__(self, name: str) -> nn.Module:
        return self.module[name]

    def train(self, mode: bool = True) -> 'MomentumNetwork':
        """Follow the model's mode, or stay in evaluation mode; see the class."""
        return super().train(mode and self.train_mode)

    def momentum_at(self, progress: float) -> float:
        """The momentum m at a point of the training.

        Args:
            progress: Updates done / updates of the whole training, in [0, 1].
        """
        share = (1 + math.cos(math.pi * progress)) / 2
        return 1 - (self.end_momentum + (self.momentum - self.end_momentum) * share)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module, progress: float) -> None:
        """Update the averages with the parts of a model.

        Args:
            model: The model, with the parts as attributes.
            progress: As for :meth:`momentum_at`; 0 at the first update.
        """
        own, theirs = self._parameters_beside(model)
        torch._foreach_lerp_(own, theirs, 1 - self.momentum_at(progress))
        self.steps += 1

    @torch.no_grad()
    def synchronize(self, model: nn.Module) -> None:
        """Copy the parts of a model, buffers included; for the start of a training."""
        for name, part in self.module.items():
            part.load_state_dict(getattr(model, name).state_dict())

    def _parameters_beside(self, model: nn.Module) -> tuple[list[torch.Tensor], ...]:
        theirs = dict(model.named_parameters())
        own = dict(self.module.named_parameters())
        return list(own.values()), [theirs[name].to(p.device) for name, p in own.items()]
