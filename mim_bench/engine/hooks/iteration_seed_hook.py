"""The hook that makes the randomness of an iteration depend on its number alone."""

from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mim_bench.data.seeding import seed_everything
from mim_bench.registry import HOOKS


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed drop path, dropout and mixing of batches from (seed, iteration, rank).

    A run that was killed and resumed then gives the same numbers as an undisturbed one. Samples are
    seeded on their own, see :mod:`mim_bench.data.seeding`.
    """

    # After every hook that may draw random numbers, right before the forward pass.
    priority = 'LOWEST'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed every generator of this process."""
        seed_everything(runner.seed, runner.iter, get_rank(), cuda=True)
