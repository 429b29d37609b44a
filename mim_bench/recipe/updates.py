"""Converts loops, schedules and hooks of a recipe from updates to the runner's iterations.

mmengine counts forward passes. With accumulated gradients, lengths are multiplied by the passes an
update; schedules stay, and step after each update.
"""

from copy import deepcopy
from typing import Any

from mmengine.optim import _ParamScheduler
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mim_bench.data.seeding import SeededSampler
from mim_bench.errors import ConfigError

SCHEDULER_HOOK = 'mim_bench.ParamSchedulerHook'
CHECKPOINT_HOOK = 'mim_bench.CheckpointHook'
EPOCH_LOOP = 'mim_bench.EpochTrainLoop'


def loop_in_iterations(loop: Any, every: int) -> Any:
    """The config of a training loop: our loop over epochs, or lengths in iterations.

    Args:
        loop: Config of a loop; anything else is returned unchanged.
        every: Iterations an update.

    Raises:
        ConfigError: A length is no whole number of at least 1.
    """
    for key in ('max_epochs', 'max_iters', 'val_interval') if isinstance(loop, dict) else ():
        if (value := loop.get(key, 1)) is not None and not (isinstance(value, int) and value > 0):
            raise ConfigError(
                f'train_cfg.{key} is {value!r}. Set a whole number of at least 1; a val_interval '
                'as long as the training validates once, at its end.'
            )
    if isinstance(loop, dict) and _is_over_epochs(loop):
        return {**{k: v for k, v in loop.items() if k != 'by_epoch'}, 'type': EPOCH_LOOP}
    if not isinstance(loop, dict) or loop.get('max_iters') is None or every == 1:
        return loop
    loop = deepcopy(loop)
    # mmengine's default is a validation every 1,000 iterations.
    loop.setdefault('val_interval', 1000)
    for key in ('max_iters', 'val_interval', 'val_begin'):
        if key in loop:
            loop[key] *= every
    if loop.get('dynamic_intervals'):
        loop['dynamic_intervals'] = [(m * every, i * every) for m, i in loop['dynamic_intervals']]
    return loop


def default_hooks_in_iterations(hooks: dict | None, every: int) -> dict:
    """The default hooks with this package's scheduler and checkpoint hooks, in iterations.

    Args:
        hooks: Hooks of the config; an entry may be None, a hook, or its config.
        every: Iterations an update.
    """
    hooks = dict(hooks or {})
    schedule = hooks.get('param_scheduler', {})
    if isinstance(schedule, dict) and schedule.get('type') in (None, 'ParamSchedulerHook'):
        hooks['param_scheduler'] = {**schedule, 'type': SCHEDULER_HOOK}
    checkpoint = hooks.get('checkpoint', {})
    if isinstance(checkpoint, dict) and checkpoint.get('type') in (None, 'CheckpointHook'):
        # mmengine's default interval, where nothing is said
        checkpoint = {'interval': 1, **checkpoint, 'type': CHECKPOINT_HOOK}
        hooks['checkpoint'] = _checkpoint_in_iterations(checkpoint, every)
    return hooks


def schedules_in_updates(schedules: Any, max_iters: int, epoch_length: int, every: int) -> Any:
    """Configs of schedules that step once an update.

    Args:
        schedules: One config or a list; scheduler objects are left unchanged.
        max_iters: Iterations of the training.
        epoch_length: Iterations of an epoch.
        every: Iterations an update.
    """
    if isinstance(schedules, list | tuple):
        return [schedules_in_updates(s, max_iters, epoch_length, every) for s in schedules]
    if isinstance(schedules, _ParamScheduler) or every == 1:
        return schedules
    schedules = deepcopy(schedules)
    if schedules.get('convert_to_iter_based'):
        schedules.setdefault('epoch_length', epoch_length // every)
    elif not schedules.get('by_epoch', True):
        schedules.setdefault('end', max_iters // every)
    return schedules


def fit_epoch_to_updates(loader: DataLoader, every: int) -> None:
    """End the epochs of a loader with whole updates.

    Otherwise an update would take its last images from the next epoch, and the number of updates
    an epoch would depend on the number of GPUs. Incomplete updates are left out where the
    loader drops incomplete batches; elsewhere the epoch's first images complete them.

    Args:
        loader: Loader of the training; one without a seeded sampler is left unchanged.
        every: Iterations an update.
    """
    batches = loader.batch_sampler
    for sampler in (loader.sampler, getattr(batches, 'sampler', None)):
        if isinstance(sampler, SeededSampler):
            drops = getattr(batches, 'drop_last', False)
            sampler.fit_to_groups(batches.batch_size * every, fill=not drops)
            return


def share_of_updates(runner: Runner) -> float:
    """Updates before the one that a training is at, as a share of all."""
    every = runner.optim_wrapper._accumulative_counts  # mmengine has no public name for it
    return (runner.iter // every) / -(-runner.max_iters // every)


def _checkpoint_in_iterations(checkpoint: dict, every: int) -> dict:
    if checkpoint.get('by_epoch', True) or every == 1:
        return checkpoint
    keys = [k for k in ('interval', 'save_begin') if checkpoint.get(k, -1) > 0]
    return {**checkpoint, **{key: checkpoint[key] * every for key in keys}}


def _is_over_epochs(loop: dict) -> bool:
    kind = loop.get('type', 'EpochBasedTrainLoop' if loop.get('by_epoch', True) else None)
    return kind == 'EpochBasedTrainLoop' and loop.get('max_epochs') is not None
