"""The hook that steps schedules once an update of the weights."""

from typing import Any

from mmengine.hooks import ParamSchedulerHook as EveryIteration
from mmengine.runner import Runner

from mim_bench.registry import HOOKS


@HOOKS.register_module()
class ParamSchedulerHook(EveryIteration):
    """mmengine's hook, but a schedule in iterations makes one step after each update.

    All forward passes whose gradients are accumulated have one learning rate then, that of the
    same update on more GPUs. It follows ``iterations_per_update`` of the runner, which is 1
    for configs that count in forward passes; :class:`mim_bench.engine.runner.BenchRunner`
    takes this hook wherever a config has mmengine's.

    Source: facebookresearch/mae@efb2a80, main_finetune's engine sets the rate at the first
    forward pass of an update only.
    """

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Step the schedules that count iterations, if the weights were updated."""
        if self.every_n_train_iters(runner, getattr(runner, 'iterations_per_update', 1)):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
