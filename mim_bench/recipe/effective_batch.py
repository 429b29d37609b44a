"""Keeps a recipe's images an update on another number of GPUs, or scales its learning rate."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mmengine.config import Config

from mim_bench.errors import ConfigError
from mim_bench.recipe.tree import dictionaries

KEEP = ('accumulate', 'scale-lr', 'off')
# `lr_scaling` of a config -> factor of the learning rate for a factor of the batch.
RULES = {'linear': float, 'sqrt': math.sqrt, 'none': lambda ratio: 1.0}
# Arguments of schedulers that count iterations where `by_epoch` is False.
_LENGTHS = ('begin', 'end', 'T_max', 'milestones', 'step_size', 'warmup_epochs')
_LOOP_LENGTHS = ('max_iters', 'val_interval', 'val_begin')
# Absolute rates among the arguments of schedulers; others are factors of the optimiser's rate.
_FLOORS = ('min_lr', 'warmup_lr', 'eta_min')


@dataclass(frozen=True)
class BatchPlan:
    """The images of one update and the resulting learning rate.

    Attributes:
        gpus: Processes of the run.
        images_per_gpu: Images in one forward pass of a process.
        accumulation: Forward passes an update.
        recipe_batch: Images an update in the recipe.
        keep: ``accumulate``, ``scale-lr`` or ``off``.
        lr_scaling: The recipe's rule: ``linear``, ``sqrt`` or ``none``.
        lr_factor: Factor by which the recipe's learning rate is multiplied.
        lr: Learning rate of the optimiser; None where the config states none.
    """

    gpus: int
    images_per_gpu: int
    accumulation: int
    recipe_batch: int
    keep: str = 'accumulate'
    lr_scaling: str = 'linear'
    lr_factor: float = 1.0
    lr: float | None = None

    @property
    def effective_batch(self) -> int:
        """Images an update."""
        return self.gpus * self.images_per_gpu * self.accumulation

    def to_record(self) -> dict[str, Any]:
        """The plan as plain data, for the record of a run."""
        return {**asdict(self), 'effective_batch': self.effective_batch}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> 'BatchPlan':
        """The plan that :meth:`to_record` described."""
        return cls(**{k: v for k, v in record.items() if k != 'effective_batch'})

    def __str__(self) -> str:
        return (
            f'Batch: {self.gpus} processes x {self.images_per_gpu} images x {self.accumulation} '
            f"accumulated = {self.effective_batch} images an update; the recipe's: "
            f'{self.recipe_batch}. Learning rate {self.lr}, {self.lr_factor:g} times the '
            f"recipe's (rule: {self.lr_scaling}; --keep-batch {self.keep})."
        )


def plan_batch(
    recipe_batch: int,
    images_per_gpu: int,
    accumulation: int,
    *,
    gpus: int,
    keep: str = 'accumulate',
    lr_scaling: str = 'linear',
) -> BatchPlan:
    """Fit a recipe to a number of GPUs.

    ``accumulate`` keeps the product if possible: first by the number of forward passes an update,
    then by using down to half of the images a pass (fewer if one pass is enough). If no whole
    numbers give the product, the nearest one is used and the rate is scaled.

    Args:
        recipe_batch: Images an update.
        images_per_gpu: Images a GPU in the config.
        accumulation: Forward passes an update in the config.
        gpus: Processes of the run.
        keep: ``scale-lr`` leaves the numbers and scales the rate; ``off`` leaves the rate too.
        lr_scaling: The recipe's rule.

    Raises:
        ConfigError: A number is not positive, or a word is unknown.
    """
    _check_words(keep, lr_scaling)
    numbers = (recipe_batch, images_per_gpu, accumulation, gpus)
    if any(not isinstance(n, int) or n < 1 for n in numbers):
        raise ConfigError(
            f'effective_batch_size {recipe_batch}, train_dataloader.batch_size {images_per_gpu}, '
            f'accumulative_counts {accumulation}, {gpus} processes: each must be a whole number '
            'of at least 1. Correct the config.'
        )
    if keep == 'accumulate' and gpus * images_per_gpu * accumulation != recipe_batch:
        images_per_gpu, accumulation = _fitted(recipe_batch, images_per_gpu, gpus)
    plan = BatchPlan(gpus, images_per_gpu, accumulation, recipe_batch, keep, lr_scaling)
    if keep == 'off':
        return plan
    factor = RULES[lr_scaling](plan.effective_batch / recipe_batch)
    return replace(plan, lr_factor=factor)


def apply_plan(cfg: Config, *, gpus: int, keep: str = 'accumulate') -> BatchPlan | None:
    """Make a config's training follow the plan for a number of GPUs.

    Afterwards ``effective_batch_size`` is the number of images an update of the run. If it differs
    from the recipe's, all lengths in iterations are scaled so that the number of images stays (not
    with ``off``).

    Args:
        cfg: Changed in place.
        gpus: Processes of the run.
        keep: See :func:`plan_batch`.

    Returns:
        None if the config has no ``effective_batch_size`` or no fixed batch.

    Raises:
        ConfigError: See :func:`plan_batch`.
    """
    recipe_batch, loader = cfg.get('effective_batch_size'), cfg.get('train_dataloader') or {}
    wrapper, lr_scaling = cfg.get('optim_wrapper'), cfg.get('lr_scaling') or 'linear'
    _check_words(keep, lr_scaling)
    if recipe_batch is None or wrapper is None or loader.get('batch_size') is None:
        return None
    accumulation = wrapper.get('accumulative_counts', 1)
    sizes = (recipe_batch, loader['batch_size'], accumulation)
    plan = plan_batch(*sizes, gpus=gpus, keep=keep, lr_scaling=lr_scaling)
    loader['batch_size'] = plan.images_per_gpu
    if plan.accumulation != accumulation:
        wrapper['accumulative_counts'] = plan.accumulation
    optimizer = wrapper.get('optimizer') or {}
    if plan.effective_batch != recipe_batch:
        cfg.effective_batch_size = plan.effective_batch
        if keep != 'off':
            _scale_rates(cfg, optimizer, plan.lr_factor)
            _scale_lengths(cfg, recipe_batch / plan.effective_batch)
    return replace(plan, lr=optimizer.get('lr'))


def num_processes(launcher: str) -> int:
    """The number of processes that a launcher started, from its environment.

    Args:
        launcher: 'none', 'pytorch' or 'slurm'.
    """
    variable = {'pytorch': 'WORLD_SIZE', 'slurm': 'SLURM_NTASKS'}.get(launcher)
    return int(os.environ.get(variable, 1)) if variable else 1


def iterations_per_update(cfg: Config) -> int:
    """Iterations of the loop in one update; 1 for a config that counts forward passes.

    In a config with an ``effective_batch_size``, ``max_iters``, intervals and schedules count
    updates. Any other config counts forward passes, as mmengine does.
    """
    if cfg.get('effective_batch_size') is None:
        return 1
    return (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)


def _check_words(keep: str, lr_scaling: str) -> None:
    if keep not in KEEP:
        raise ConfigError(f'--keep-batch {keep!r} is unknown. Known: {", ".join(KEEP)}.')
    if lr_scaling not in RULES:
        raise ConfigError(f'lr_scaling {lr_scaling!r} is unknown. Known: {", ".join(RULES)}.')


def _fitted(recipe_batch: int, images_per_gpu: int, gpus: int) -> tuple[int, int]:
    """Images a pass and passes an update whose product comes nearest to the recipe's batch."""
    share, rest = divmod(recipe_batch, gpus)
    if not rest:
        images = max(n for n in range(1, min(images_per_gpu, share) + 1) if share % n == 0)
        if share <= images_per_gpu or 2 * images >= images_per_gpu:
            return images, share // images
    passes = math.ceil(recipe_batch / (gpus * images_per_gpu))
    choices = [
        (images_per_gpu, max(1, round(recipe_batch / (gpus * images_per_gpu)))),
        (max(1, round(recipe_batch / (gpus * passes))), passes),
    ]
    return min(choices, key=lambda choice: abs(gpus * math.prod(choice) - recipe_batch))


def _scale_rates(cfg: Config, optimizer: dict, factor: float) -> None:
    if optimizer.get('lr') is not None:
        optimizer['lr'] *= factor
    for scheduler in _schedulers(cfg):
        if str(scheduler.get('type', '')).endswith('LR'):
            scheduler.update({k: scheduler[k] * factor for k in _FLOORS if scheduler.get(k)})


def _scale_lengths(cfg: Config, ratio: float) -> None:
    """Scale all lengths in iterations, so that the number of images stays."""
    loop = cfg.get('train_cfg') or {}
    if loop.get('max_iters') is not None:
        _scale(loop, _LOOP_LENGTHS, ratio)
        if loop.get('dynamic_intervals'):
            intervals = loop['dynamic_intervals']
            loop['dynamic_intervals'] = [tuple(_scaled(n, ratio) for n in i) for i in intervals]
    for scheduler in _schedulers(cfg):
        if scheduler.get('by_epoch') is False:
            _scale(scheduler, _LENGTHS, ratio)
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if checkpoint.get('by_epoch') is False:
        _scale(checkpoint, ('interval', 'save_begin'), ratio)


def _schedulers(cfg: Config) -> list[dict]:
    """One, a list, or a list for each of several optimisers."""
    return [node for node in dictionaries(cfg.get('param_scheduler')) if 'type' in node]


def _scale(node: dict, keys: tuple[str, ...], ratio: float) -> None:
    for key in keys:
        value = node.get(key)
        if isinstance(value, list | tuple):
            node[key] = [_scaled(n, ratio) for n in value]
        elif value:
            node[key] = _scaled(value, ratio)


def _scaled(length: int, ratio: float) -> int:
    # A length that is not positive means never (mmengine's -1).
    return max(1, round(length * ratio)) if length > 0 else length
