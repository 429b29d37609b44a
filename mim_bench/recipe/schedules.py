"""The learning-rate schedule of the field: linear warm-up from zero, then half a cosine."""

import math
from typing import Any

from mmengine.optim import _ParamScheduler
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin

from mim_bench.errors import ConfigError
from mim_bench.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(LRSchedulerMixin, _ParamScheduler):
    """Warm up from 0 to the group's rate, then fall along half a cosine to its floor.

    One scheduler where mmengine's configs chain two, so that a child config changes the
    length without restating a list; and a floor that follows layer-wise decay.

    Args:
        optimizer: Of mmengine's runner.
        warmup_epochs: Length of the warm-up, in the steps of this scheduler (epochs in a
            config; iterations after ``convert_to_iter_based``).
        end: Length of the whole schedule; mmengine's runner fills in the training's.
        min_lr: The floor of a group that has the optimiser's full rate; a group with a share
            of it (layer-wise decay) has that share of the floor.
        kwargs: Of mmengine's schedulers.

    Raises:
        ConfigError: The warm-up is longer than the schedule.

    Source: MAE's ``lr_sched.py`` (facebookresearch/mae@efb2a80), where lr and min_lr are both
    multiplied by the group's scale.
    """

    def __init__(
        self, optimizer: Any, *, warmup_epochs: int, end: int, min_lr: float = 0.0, **kwargs: Any
    ) -> None:
        if not 0 <= warmup_epochs < end:
            raise ConfigError(
                f'WarmupCosineLR: warmup_epochs {warmup_epochs} must be shorter than the '
                f'training, {end}. Set param_scheduler.warmup_epochs.'
            )
        self.warmup = warmup_epochs
        full_rate = getattr(optimizer, 'optimizer', optimizer).defaults['lr']
        self.min_ratio = min_lr / full_rate
        super().__init__(optimizer, end=end, **kwargs)

    @classmethod
    def build_iter_from_epoch(
        cls, *args: Any, warmup_epochs: int, end: int, epoch_length: int, **kwargs: Any
    ) -> 'WarmupCosineLR':
        """The same schedule in iterations.

        Args:
            args: As for the class.
            warmup_epochs: In epochs, fractions allowed.
            end: In epochs.
            epoch_length: Iterations of an epoch.
            kwargs: As for the class.
        """
        kwargs['by_epoch'] = False
        return cls(
            *args,
            warmup_epochs=round(warmup_epochs * epoch_length),
            end=end * epoch_length,
            **kwargs,
        )

    def _get_value(self) -> list[float]:
        step = self.last_step
        if step < self.warmup:
            return [base * step / self.warmup for base in self.base_values]
        progress = (step - self.warmup) / (self.end - self.warmup)
        share = self.min_ratio + (1 - self.min_ratio) * 0.5 * (1 + math.cos(math.pi * progress))
        return [base * share for base in self.base_values]
