"""The hook that stops a run whose loss is not finite, or 0 from its first step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from mim_bench.engine.agreement import Agreement
from mim_bench.engine.batch import image_names
from mim_bench.errors import ConfigError, TrainingError, first_of
from mim_bench.registry import HOOKS

# A single batch may hold nothing to learn from, so many in a row do not.
ZERO_LOOKS = 10
# More names than this make a message unreadable; the log has them all.
NAMES_SHOWN = 32


@dataclass(frozen=True)
class _Look:
    """What this process saw of an iteration; ``epoch`` is None in a run in iterations."""

    iteration: int
    epoch: int | None
    bad: dict[str, float]
    images: list[str]


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop with a :class:`TrainingError` when a loss is NaN or infinite, on all processes.

    The message names the iteration, the epoch, the process, the loss terms and the images of
    its batch. A run of one process stops before anything is logged or saved in that iteration.
    Several processes tell each other in the background and stop one look later; a checkpoint
    waits for what they tell, so none is ever written of weights that came of such a loss.

    A run whose losses are exactly 0 on all processes in its first looks has nothing to learn
    from, for example a data set without annotations, and stops too.

    Note:
        - Looking at a loss waits for the device. mmengine's own bookkeeping does so in every
          iteration anyway and runs earlier, so nothing is lost with the default interval.
        - With an ``interval`` above 1, the images named are those of the iteration that was
          looked at, which may be up to ``interval - 1`` later than the first bad one.

    Args:
        interval: Look every so many iterations.
    """

    priority = 'HIGH'

    def __init__(self, interval: int = 1) -> None:
        if interval < 1:
            raise ConfigError(f'FiniteLossHook: interval = {interval}. Set it to 1 or more.')
        self.interval = interval
        self._zero_looks: int | None = None  # in a row from the first step; None: not any more
        self._agreement = Agreement()
        self._looks: list[_Look] = []  # the result of which is not known yet

    def before_train(self, runner: Runner) -> None:
        """Count zeros from the first step of a run only."""
        self._zero_looks = 0 if runner.iter == 0 else None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Look at every output whose name contains ``loss``.

        Raises:
            TrainingError: On every process, if a loss of any process is not finite, or all were
                0 in the first :data:`ZERO_LOOKS`.
        """
        if not self.every_n_train_iters(runner, self.interval):
            return
        losses = _losses(outputs or {})
        bad = {name: value for name, value in losses.items() if not math.isfinite(value)}
        is_by_iter = isinstance(runner.train_loop, IterBasedTrainLoop)
        epoch = None if is_by_iter else runner.epoch + 1
        names = image_names(data_batch) if bad else []
        self._looks.append(_Look(runner.iter + 1, epoch, bad, names))
        # Every process must come to the same decision, or the others would wait for ever.
        self._decide(
            runner, self._agreement.exchange([bool(bad), not losses or any(losses.values())])
        )

    def settle(self, runner: Runner) -> None:
        """Wait for what the other processes saw in the last look; all must call it.

        Raises:
            TrainingError: As :meth:`after_train_iter`.
        """
        self._decide(runner, self._agreement.settle())

    def after_train(self, runner: Runner) -> None:
        """Refuse a run that ended before the looks were enough.

        Raises:
            TrainingError: Every loss was 0.
        """
        self.settle(runner)
        if self._zero_looks:
            raise TrainingError(_zero_message(self._zero_looks))

    def _decide(self, runner: Runner, found: list[int] | None) -> None:
        """Take the result of the oldest look."""
        if found is None:
            return
        look = self._looks.pop(0)
        is_bad, is_learning = map(bool, found)
        self._count_zeros(look.iteration, is_learning=is_learning)
        if not is_bad:
            return
        reports = all_gather_object((get_rank(), look.bad, look.images) if look.bad else None)
        reports = [report for report in reports if report is not None]
        for rank, _, names in reports:
            runner.logger.error(f'Images of process {rank} in this iteration: {", ".join(names)}')
        raise TrainingError(_message(look, reports))

    def _count_zeros(self, iteration: int, *, is_learning: bool) -> None:
        if self._zero_looks is None:
            return
        self._zero_looks = None if is_learning else self._zero_looks + 1
        if self._zero_looks == ZERO_LOOKS:
            raise TrainingError(_zero_message(iteration))


def _losses(outputs: Mapping[str, Any]) -> dict[str, float]:
    """Other outputs, such as accuracies, may be undefined for a batch without harm."""
    return {
        name: float(torch.as_tensor(value).detach())
        for name, value in outputs.items()
        if 'loss' in name
    }


def _zero_message(num_iterations: int) -> str:
    return (
        f'Every loss is exactly 0 from the first iteration on ({num_iterations} iterations): the '
        'training set holds nothing to learn from. Check its annotations with `mim-bench data '
        'check`, and the mask or the head of the config.'
    )


def _message(look: _Look, reports: list[tuple[int, dict[str, float], list[str]]]) -> str:
    epoch = '' if look.epoch is None else f', epoch {look.epoch}'
    return (
        f'The loss is not finite at iteration {look.iteration}{epoch}: '
        + '; '.join(_describe(*report) for report in reports)
        + '. Look at these images and their annotations; if they are in order, lower the '
        'learning rate, clip gradients, or train in float32 or bfloat16.'
    )


def _describe(rank: int, bad: dict[str, float], names: list[str]) -> str:
    terms = ', '.join(f'{name} = {value}' for name, value in bad.items())
    shown = first_of(names, NAMES_SHOWN)
    others = ', all in the log' if len(names) > NAMES_SHOWN else ''
    return f'on process {rank} {terms}, on the images {shown}{others}'
