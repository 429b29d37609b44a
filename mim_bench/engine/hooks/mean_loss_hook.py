"""The hook by which the losses that a run logs and records are those of all its processes."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from torch import distributed as torch_dist

from mim_bench.registry import HOOKS


@HOOKS.register_module()
class MeanLossHook(Hook):
    """Put means over the processes in place of the losses that each one had on its own images.

    The means arrive in the background: a process waits for the others in the next iteration, or
    where the numbers are logged, saved or recorded, which call :meth:`settle`. ``BenchRunner``
    has it in every run.

    Note:
        Registered after mmengine's ``RuntimeInfoHook``, which keeps the numbers.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._names: list[str] | None = None
        self._pending: tuple[torch.Tensor, torch_dist.Work] | None = None

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Put the means of the iteration before in place, and begin with those of this one."""
        if get_world_size() == 1:
            return
        self.settle(runner, age=1)
        if self._names is None:  # a batch without objects may lack a loss that others have
            common = set.intersection(*all_gather_object({f'train/{key}' for key in outputs or ()}))
            self._names = sorted(common)
        scalars = runner.message_hub.log_scalars
        on_gpu = torch_dist.get_backend() == 'nccl'
        own = torch.tensor(
            [float(scalars[name].current()) for name in self._names],
            dtype=torch.float32 if on_gpu else torch.float64,
            device=get_device() if on_gpu else 'cpu',
        )
        self._pending = own, torch_dist.all_reduce(own, async_op=True)
        if self._is_logged(runner, batch_idx):
            self.settle(runner)

    def after_train(self, runner: Runner) -> None:
        """Put the last means in place."""
        self.settle(runner)

    def settle(self, runner: Runner, age: int = 0) -> None:
        """Wait for the means that are under way and put them in place.

        Args:
            runner: The runner.
            age: Iterations since they were begun.
        """
        if self._pending is None:
            return
        total, work = self._pending
        self._pending = None
        work.wait()
        for name, mean in zip(self._names, (total / get_world_size()).tolist(), strict=True):
            values, _ = runner.message_hub.log_scalars[name].data
            values[-1 - age] = mean

    def _is_logged(self, runner: Runner, batch_idx: int) -> bool:
        return self.end_of_epoch(runner.train_dataloader, batch_idx) or any(
            isinstance(hook, LoggerHook) and self.every_n_inner_iters(batch_idx, hook.interval)
            for hook in runner.hooks
        )
