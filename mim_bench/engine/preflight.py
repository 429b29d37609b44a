"""Tries validation, metrics and checkpoints before the first step of a run.

Nothing that counts changes: random states, weights, buffers and metrics are as before.
"""

import logging
import math
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseTTAModel
from mmengine.optim import ConstantParamScheduler, LinearParamScheduler
from mmengine.optim.scheduler.param_scheduler import INF
from mmengine.runner import Runner
from mmengine.runner.amp import autocast
from rich.filesize import decimal
from torch import nn
from torch.utils.data import DataLoader

from mim_bench.data.image_file import image_size
from mim_bench.data.seeding import SKIP_LIST
from mim_bench.engine.batch import image_names
from mim_bench.engine.boundary import doing
from mim_bench.engine.data_sets import check_data_sets, check_trained_classes
from mim_bench.engine.device_errors import num_bytes, optimizer_bytes
from mim_bench.engine.fsdp import is_sharded
from mim_bench.errors import CheckpointError, ConfigError
from mim_bench.evaluation.isolation import evaluating, preserved_rng
from mim_bench.evaluation.metric_names import METRICS, primary_metric, record_metrics
from mim_bench.evaluation.probes.dispatch import check_bank
from mim_bench.evaluation.probes.extraction import arithmetic, backbone_of, features_of_batches
from mim_bench.evaluation.probes.pooling import backbone_outputs
from mim_bench.evaluation.probes.together import on_main_process
from mim_bench.recipe.tta import unwrap

NUM_IMAGES = 2
# From more on a probe has enough images of some class.
_FEW_IMAGES = 10_000
_THREADS = 16  # that read the headers of images
_TRIAL = 'trying the evaluation before the first step'


class PreflightHook(Hook):
    """Stop before the first step if the run could not reach its end.

    It compares the data sets (:mod:`mim_bench.engine.data_sets`), evaluates two images with every
    metric, and looks for space for the checkpoints. ``BenchRunner`` has it in every run.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Compare the data sets; a run from the start forgets the images that another skipped."""
        check_data_sets(runner)
        if is_main_process() and not runner._resume:
            (Path(runner.work_dir) / SKIP_LIST).unlink(missing_ok=True)

    def before_train(self, runner: Runner) -> None:
        """Try a validation, the smallest batch, and the space; look at the schedules."""
        check_space(runner)
        warn_of_other_ends(runner)
        with preserved_rng():
            with doing(runner, 'trying a batch of one before the first step'):
                try_smallest_batch(runner)
            if runner.val_loop is not None:
                if not is_sharded(unwrap(runner.model)):  # it is whole inside its own step only
                    check_features(runner, runner.val_loop)
                measured = try_evaluation(runner, runner.val_loop, runner.model.val_step)
                _check_watched(runner, measured)

    def before_test(self, runner: Runner) -> None:
        """Try the test, or the probes, on two images."""
        loop = runner.test_loop
        with preserved_rng():
            check_features(runner, loop)
            if hasattr(loop, 'probes'):
                try_probes(runner)
                return
            if hasattr(loop, 'bank_dataloader'):
                list(few_batches(loop.bank_dataloader))
            else:
                check_trained_classes(runner)
            try_evaluation(runner, loop, runner.model.test_step)


def check_features(runner: Runner, loop: Any) -> None:
    """Refuse a network whose features of an image are also those of its negative.

    Such a network ignores its images, and whatever is measured with it is chance.

    Args:
        runner: Ready to run.
        loop: Its validation or test loop.

    Raises:
        CheckpointError: See above.
    """
    model = unwrap(runner.model)
    has_views = isinstance(runner.model, BaseTTAModel)  # several of an image in a sample
    if has_views or not hasattr(model, 'extract_feat'):
        return
    device = next(model.parameters()).device
    with torch.no_grad(), evaluating(model), arithmetic(device, loop.fp16):
        batch = next(few_batches(loop.dataloader, batch_size=1))
        image = model.data_preprocessor(batch, False)['inputs']
        outputs = [_tensors(backbone_outputs(model, x)[-1]) for x in (image, -image)]
    if all(map(torch.equal, *outputs)) and not torch.equal(image, -image):
        raise CheckpointError(
            f'The features of {", ".join(image_names(batch))} and of its negative are the same: '
            f'{type(backbone_of(model)).__name__} ignores its images. Its weights are damaged, or '
            'the training that wrote them collapsed. Use an earlier checkpoint.'
        )


def _tensors(output: Any) -> list[torch.Tensor]:
    """The tensors of an output; EoMT's last one is a list, of the queries after each block."""
    if isinstance(output, torch.Tensor):
        return [output]
    return [tensor for entry in output if entry is not None for tensor in _tensors(entry)]


def try_evaluation(runner: Runner, loop: Any, step: Any) -> dict[str, Any]:
    """Put a few images through the model and copies of all metrics.

    Args:
        runner: Ready to run.
        loop: Its validation or test loop.
        step: The method of the model that the loop calls.

    Returns:
        The metrics by the library's names.

    Raises:
        ConfigError: The record asks for a metric that the evaluator does not measure.
        ResultError: The metric that ranks a task is not measured, or is no number.
    """
    evaluator, dataset = deepcopy(loop.evaluator), loop.dataloader.dataset
    more = on_main_process(lambda: narrowest(dataset))  # it reads the header of every image
    num_samples = 0
    with _quiet(), evaluating(runner.model), autocast(enabled=loop.fp16):
        for batch in few_batches(loop.dataloader, more=more):
            with doing(runner, _TRIAL, batch):
                outputs = step(batch)
                evaluator.process(data_samples=outputs, data_batch=batch)
            num_samples += len(outputs)
        for metric in evaluator.metrics:
            if hasattr(metric, 'img_ids'):  # mmdet's would evaluate every image of the file
                metric.img_ids = [truth['img_id'] for truth, _ in metric.results]
        with doing(runner, f'{_TRIAL}, at its end'):
            measured = evaluator.evaluate(num_samples)
    _check_wanted(runner, measured)
    return measured


def try_probes(runner: Runner) -> None:
    """Put two images of each data set of a probe through the model.

    Raises:
        ConfigError: There are too few training images for a probe.
    """
    loop = runner.test_loop
    if bank := getattr(loop, 'bank_dataloader', None):
        check_bank(_labels(bank.dataset), loop.probes, on_best_layer=loop.layers == 'best')
    for loader in filter(None, (bank, loop.dataloader)):
        batches = list(few_batches(loader))
        list(features_of_batches(unwrap(runner.model), batches, loop.pooling, loop.fp16))


def _labels(dataset: Any) -> torch.Tensor:
    """The labels of few images; one for all where there are enough, or none are known."""
    if len(dataset) > _FEW_IMAGES or not hasattr(dataset, 'get_data_info'):
        return torch.zeros(len(dataset), dtype=torch.int64)
    return torch.tensor([dataset.get_data_info(n).get('gt_label', 0) for n in range(len(dataset))])


def try_smallest_batch(runner: Runner) -> None:
    """Put one image through a training model with BatchNorm whose epochs end in one.

    Raises:
        Exception: Whatever the model raises; BatchNorm behind a pooled map refuses one image.
    """
    model = unwrap(runner.model)
    has_norms = any(_is_batch_norm(module) and module.training for module in model.modules())
    if not has_norms or last_batch_size(runner.train_dataloader) != 1:
        return
    with _same_buffers(model), torch.no_grad(), runner.optim_wrapper.optim_context(model):
        batch = next(few_batches(runner.train_dataloader, batch_size=1))
        model(**model.data_preprocessor(batch, True), mode='loss')


def _is_batch_norm(module: nn.Module) -> bool:
    """Whether a module needs two values of a channel in this process."""
    is_shared = isinstance(module, nn.SyncBatchNorm) and get_world_size() > 1
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and not is_shared


def last_batch_size(loader: DataLoader) -> int:
    """Images of the last batch of an epoch, of each process; a full batch where none is short.

    0 where the loader does not say.
    """
    batch_sampler = loader.batch_sampler
    size = loader.batch_size or getattr(batch_sampler, 'batch_size', 0)
    is_endless = getattr(loader.sampler, 'is_endless', False)
    if not size or is_endless or getattr(batch_sampler, 'drop_last', False):
        return size
    share = math.ceil(len(loader.dataset) / get_world_size())
    return share % size or size


def narrowest(dataset: Any) -> list[int]:
    """The number of the image with the most unequal sides, if images are evaluated as a whole.

    Resized, its short side may be less than what a network divides an image into.
    """

    def ratio(number: int) -> float:
        info = dataset.get_data_info(number)
        size = image_size(info['img_path']) if 'seg_map_path' in info else None
        size = size or (info.get('height', 1), info.get('width', 1))
        return max(size) / max(1, min(size))

    if not hasattr(dataset, 'get_data_info') or 'gt_label' in dataset.get_data_info(0):
        return []
    with ThreadPoolExecutor(_THREADS) as pool:
        return [int(np.argmax([*pool.map(ratio, range(len(dataset)))]))]


def few_batches(
    loader: DataLoader, *, batch_size: int | None = None, more: Sequence[int] = ()
) -> Iterator[Any]:
    """Batches of :data:`NUM_IMAGES` samples, the first and the last, made in this process.

    Args:
        loader: Says the size of a batch, which samples of different size may need to be 1.
        batch_size: In place of it.
        more: Numbers of further samples.
    """
    dataset = loader.dataset
    size = batch_size or loader.batch_size or 1
    indices = np.linspace(0, len(dataset) - 1, min(NUM_IMAGES, len(dataset)), dtype=int).tolist()
    indices += [index for index in more if index not in indices]
    for start in range(0, len(indices), size):
        yield loader.collate_fn([dataset[i] for i in indices[start : start + size]])


def check_space(runner: Runner) -> None:
    """Refuse a training whose checkpoints do not fit on the disk.

    Raises:
        CheckpointError: With what they need, about, and what is free.
    """
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    if hook is None or not is_main_process() or (hook.interval <= 0 and not hook.save_last):
        return
    model = unwrap(runner.model)
    size = num_bytes((*model.parameters(), *model.buffers()))
    size += optimizer_bytes(model, runner.cfg.optim_wrapper)
    kept = num_checkpoints(hook, runner)
    folder = Path(runner.work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    earlier = sum(path.stat().st_size for path in folder.glob('*.pth'))  # they make room
    free = shutil.disk_usage(folder).free + earlier
    if size * kept > free:
        raise CheckpointError(
            f'{folder}: {decimal(free)} are free, and the checkpoints need about '
            f'{decimal(size * kept)} ({kept} files of {decimal(size)}, one of them while it is '
            'written). Free some space, give another --work-dir, or keep fewer: '
            '--cfg-options default_hooks.checkpoint.max_keep_ckpts=1.'
        )


def num_checkpoints(hook: CheckpointHook, runner: Runner) -> int:
    """Files that lie on the disk at a time: those that are kept, and the one that is written."""
    length = runner.max_epochs if hook.by_epoch else runner.max_iters
    planned = length // hook.interval if hook.interval > 0 else 0
    planned = max(planned, 1)
    kept = hook.max_keep_ckpts if hook.max_keep_ckpts > 0 else planned
    return min(kept, planned) + (planned > kept)


def warn_of_other_ends(runner: Runner) -> None:
    """Warn where a learning rate decays over another length than that of the training.

    So it is where only the length of the training was changed. Warm-ups end where they like.
    """
    every = runner.iterations_per_update
    lengths = {True: runner.max_epochs, False: -(-runner.max_iters // every)}
    groups = runner.param_schedulers or []
    for group in groups.values() if isinstance(groups, dict) else [groups]:
        for schedule in reversed(group):
            length = lengths[schedule.by_epoch]
            end = length if schedule.end == INF else schedule.end
            end = max(end, *getattr(schedule, 'milestones', ()), 0)
            is_warmup = isinstance(schedule, LinearParamScheduler | ConstantParamScheduler)
            if end > length or (end < length and not is_warmup and schedule is group[-1]):
                unit = 'epoch' if schedule.by_epoch else 'update'
                runner.logger.warning(
                    f'{type(schedule).__name__} changes the learning rate until {unit} {end:,}, '
                    f'the training ends at {unit} {length:,}. Unless this is a trial, change end '
                    'and milestones of param_scheduler too.'
                )
                break


def _check_wanted(runner: Runner, measured: dict[str, Any]) -> None:
    """Raise if a metric of the record was not measured. Of two images a number may be NaN."""
    numbers = {key: 0.0 for key, value in measured.items() if isinstance(value, Real)}
    named = record_metrics(numbers)
    known = {spec.name for spec in METRICS.values() if not spec.name.startswith('knn')}
    evaluated = known - {spec.name for spec in METRICS.values() if spec.split == 'train'}
    for hook in runner.hooks:
        for task in getattr(hook, 'tasks', ()):
            if missing := [n for n in task.metrics or () if n in evaluated and n not in named]:
                raise ConfigError(
                    f'{runner.cfg.filename}: the record of {task.task} asks for '
                    f'{", ".join(missing)}, the evaluation gives {", ".join(measured)}. Correct '
                    'metrics in protocol.tasks, or the evaluator.'
                )
            primary_metric(task.task, named, measured)


def _check_watched(runner: Runner, measured: dict[str, Any]) -> None:
    """Raise if a hook or a schedule waits for a metric that was not measured."""
    schedules = runner.param_schedulers
    for watcher in [*runner.hooks, *(schedules if isinstance(schedules, list) else ())]:
        names = getattr(watcher, 'key_indicators', None) or [getattr(watcher, 'monitor', None)]
        if missing := [name for name in names if name not in (None, 'auto', *measured)]:
            raise ConfigError(
                f'{runner.cfg.filename}: {type(watcher).__name__} waits for the metric '
                f'{missing[0]!r}, the evaluation gives {", ".join(measured)}. Correct the name.'
            )


@contextmanager
def _same_buffers(model: nn.Module) -> Iterator[None]:
    """Running statistics and counters are put back."""
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(kept[name])


@contextmanager
def _quiet() -> Iterator[None]:
    """Metrics of two images are no result: nothing is logged."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
