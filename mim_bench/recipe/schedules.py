"""Learning-rate schedules of the official recipes: a warm-up, then a cosine or steps.

Each is one scheduler, where mmengine's configs chain two, so that a child config can change the
length without restating a list. Each class follows one code base at every update; they differ in
where the warm-up ends, where the cosine starts, and whether layer-wise decay scales the floor.
"""

import math
from collections.abc import Sequence
from typing import Any

from mmengine.optim import _ParamScheduler
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin

from mim_bench.errors import ConfigError
from mim_bench.registry import PARAM_SCHEDULERS


class _WarmupLR(LRSchedulerMixin, _ParamScheduler):
    """Base of the schedules: lengths in epochs, or in updates after ``convert_to_iter_based``.

    Args:
        optimizer: Optimizer wrapper of mmengine's runner.
        warmup_epochs: Length of the warm-up, in the steps of this scheduler.
        end: Length of the whole schedule; mmengine's runner sets the training's.
        kwargs: Arguments of mmengine's schedulers.

    Raises:
        ConfigError: The warm-up is longer than the schedule, or the schedule begins later.
    """

    # Arguments that count epochs and become updates.
    lengths = ('warmup_epochs', 'end')

    def __init__(self, optimizer: Any, *, warmup_epochs: int, end: int, **kwargs: Any) -> None:
        if kwargs.get('begin'):
            raise ConfigError(
                f'{type(self).__name__}: begin is {kwargs["begin"]}, and this schedule is one of '
                'the whole training. Leave it out.'
            )
        if not 0 <= warmup_epochs < end:
            unit = 'epochs' if kwargs.get('by_epoch', True) else 'updates'
            raise ConfigError(
                f'{type(self).__name__}: the warm-up (param_scheduler.warmup_epochs), '
                f'{warmup_epochs} {unit}, must be shorter than the training, {end} {unit}. Change '
                'one of them.'
            )
        self.warmup = warmup_epochs
        self.full_rate = getattr(optimizer, 'optimizer', optimizer).defaults['lr']
        super().__init__(optimizer, end=end, **kwargs)

    @classmethod
    def build_iter_from_epoch(cls, *args: Any, epoch_length: int, **kwargs: Any) -> '_WarmupLR':
        """The same schedule in updates.

        Args:
            args: Arguments of the class.
            epoch_length: Updates of an epoch.
            kwargs: Arguments of the class; lengths in epochs, fractions allowed.
        """
        for key in cls.lengths:
            value = kwargs.get(key)
            if isinstance(value, Sequence):
                kwargs[key] = [round(v * epoch_length) for v in value]
            elif value is not None:
                kwargs[key] = round(value * epoch_length)
        return cls(*args, by_epoch=False, **{k: v for k, v in kwargs.items() if k != 'by_epoch'})

    def _get_value(self) -> list[float]:
        return [self._rate(base, self.last_step) for base in self.base_values]

    def _rate(self, base: float, step: int) -> float:
        """The rate of a group before an update.

        Args:
            base: Peak rate of the group.
            step: Updates done.
        """
        raise NotImplementedError


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_WarmupLR):
    """Warm-up from 0 to the group's rate, then half a cosine to its floor.

    Args:
        min_lr: The floor of a group that has the optimiser's full rate; a group with a share
            of it (layer-wise decay) has that share of the floor.
        kwargs: ``warmup_epochs``, and arguments of mmengine's schedulers.

    Source: MAE's ``util/lr_sched.py`` (facebookresearch/mae@efb2a80), where lr and min_lr are
    both multiplied by the group's scale; UM-MAE and LocalMIM share it.
    Differs: an epoch ends with a whole update, where the official code drops the micro-batches
    that do not fill an accumulation but lets them move the schedule on.
    """

    def __init__(self, optimizer: Any, *, min_lr: float = 0.0, **kwargs: Any) -> None:
        self.min_lr = min_lr
        super().__init__(optimizer, **kwargs)

    def _rate(self, base: float, step: int) -> float:
        if step < self.warmup:
            return base * self._warmup_share(step)
        floor = self.min_lr / self.full_rate
        return base * (floor + (1 - floor) * _cosine(step - self.warmup, self.end - self.warmup))

    def _warmup_share(self, step: int) -> float:
        return step / self.warmup


@PARAM_SCHEDULERS.register_module()
class TableCosineLR(WarmupCosineLR):
    """:class:`WarmupCosineLR` whose warm-up includes the peak, so that two updates have it.

    Source: BEiT's ``utils.py`` (microsoft/unilm@768a3c8, beit), which computes a table of rates
    with ``linspace``; ConMIM shares it.
    """

    def _warmup_share(self, step: int) -> float:
        return step / max(self.warmup - 1, 1)


class _LateLR(_WarmupLR):
    """A schedule that runs one update late and warms up from an absolute rate.

    Update k runs with value k - 1, updates 0 and 1 both with value 0.

    Args:
        warmup_lr: Absolute rate at which every group starts.
        kwargs: ``warmup_epochs``, and arguments of mmengine's schedulers.
    """

    def __init__(self, optimizer: Any, *, warmup_lr: float = 0.0, **kwargs: Any) -> None:
        self.warmup_lr = warmup_lr
        super().__init__(optimizer, **kwargs)

    def _rate(self, base: float, step: int) -> float:
        step = max(step - 1, 0)
        if step < self.warmup:
            return self.warmup_lr + step * (base - self.warmup_lr) / self.warmup
        return self._decayed(base, step)

    def _decayed(self, base: float, step: int) -> float:
        raise NotImplementedError


@PARAM_SCHEDULERS.register_module()
class TimmCosineLR(_LateLR):
    """A cosine that counts from the first update and overtakes the warm-up with a drop.

    Args:
        min_lr: The floor, the same absolute rate for every group.
        kwargs: ``warmup_epochs``, ``warmup_lr``, and arguments of mmengine's schedulers.

    Source: timm 0.4.12's ``CosineLRScheduler`` as microsoft/SimMIM@d3e29bc, lr_scheduler.py,
    calls it.
    """

    def __init__(self, optimizer: Any, *, min_lr: float = 0.0, **kwargs: Any) -> None:
        self.min_lr = min_lr
        super().__init__(optimizer, **kwargs)

    def _decayed(self, base: float, step: int) -> float:
        return self.min_lr + (base - self.min_lr) * _cosine(step, self.end)


@PARAM_SCHEDULERS.register_module()
class TimmMultiStepLR(_LateLR):
    """Warm-up to the peak, which is multiplied by ``gamma`` at each milestone.

    Args:
        milestones: Epochs of the whole training, the warm-up included.
        gamma: Factor at a milestone.
        kwargs: ``warmup_epochs``, ``warmup_lr``, and arguments of mmengine's schedulers.

    Source: ``MultiStepLRScheduler`` of microsoft/SimMIM@d3e29bc, lr_scheduler.py.
    """

    lengths = (*_LateLR.lengths, 'milestones')

    def __init__(
        self, optimizer: Any, *, milestones: Sequence[int], gamma: float = 0.1, **kwargs: Any
    ) -> None:
        self.milestones, self.gamma = tuple(milestones), gamma
        super().__init__(optimizer, **kwargs)

    def _decayed(self, base: float, step: int) -> float:
        return base * self.gamma ** sum(milestone <= step for milestone in self.milestones)


def _cosine(step: int, length: int) -> float:
    """Half a cosine: 1 at step 0, 0 at ``length``."""
    return 0.5 * (1 + math.cos(math.pi * step / length))
