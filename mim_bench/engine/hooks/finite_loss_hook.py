"""The hook that stops a run whose loss is not finite, or 0 from its first step."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from mim_bench.engine.batch import image_names
from mim_bench.errors import ConfigError, TrainingError
from mim_bench.registry import HOOKS

# A single batch may hold nothing to learn from, so many in a row do not.
ZERO_LOOKS = 10
# More names than this make a message unreadable; the log has them all.
NAMES_SHOWN = 32


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop with a :class:`TrainingError` when a loss is NaN or infinite, on all processes.

    The message names the iteration, the epoch, the process, the loss terms and the images of
    its batch. The hook runs before anything is logged or saved in that iteration.

    A run whose losses are exactly 0 on all processes in its first looks has nothing to learn
    from, for example a data set without annotations, and stops too.

    Note:
        - Looking at a loss waits for the device. mmengine's own bookkeeping does so in every
          iteration anyway and runs earlier, so nothing is lost with the default interval. In
          a distributed run there is one small all-reduce a look.
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
        # Every process must come to the same decision, or the others would wait for ever.
        found = torch.tensor([bool(bad), not losses or any(losses.values())], dtype=torch.int)
        all_reduce(found, op='max')
        is_bad, is_learning = map(bool, found.tolist())
        self._count_zeros(runner, is_learning=is_learning)
        if not is_bad:
            return
        report = (get_rank(), bad, image_names(data_batch)) if bad else None
        reports = [found for found in all_gather_object(report) if found is not None]
        for rank, _, names in reports:
            runner.logger.error(f'Images of process {rank} in this iteration: {", ".join(names)}')
        raise TrainingError(_message(runner, reports))

    def after_train(self, runner: Runner) -> None:
        """Refuse a run that ended before the looks were enough.

        Raises:
            TrainingError: Every loss was 0.
        """
        if self._zero_looks:
            raise TrainingError(_zero_message(self._zero_looks))

    def _count_zeros(self, runner: Runner, *, is_learning: bool) -> None:
        if self._zero_looks is None:
            return
        self._zero_looks = None if is_learning else self._zero_looks + 1
        if self._zero_looks == ZERO_LOOKS:
            raise TrainingError(_zero_message(runner.iter + 1))


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


def _message(runner: Runner, reports: list[tuple[int, dict[str, float], list[str]]]) -> str:
    is_by_iter = isinstance(runner.train_loop, IterBasedTrainLoop)
    epoch = '' if is_by_iter else f', epoch {runner.epoch + 1}'
    return (
        f'The loss is not finite at iteration {runner.iter + 1}{epoch}: '
        + '; '.join(_describe(*report) for report in reports)
        + '. Look at these images and their annotations; if they are in order, lower the '
        'learning rate, clip gradients, or train in float32 or bfloat16.'
    )


def _describe(rank: int, bad: dict[str, float], names: list[str]) -> str:
    terms = ', '.join(f'{name} = {value}' for name, value in bad.items())
    shown = ', '.join(names[:NAMES_SHOWN])
    rest = len(names) - NAMES_SHOWN
    more = f' and {rest} more, all in the log' if rest > 0 else ''
    return f'on process {rank} {terms}, on the images {shown}{more}'
