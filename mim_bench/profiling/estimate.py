"""Estimates memory, operations and time of a training step on a GPU that need not exist."""

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from mim_bench.data.checks.options import REAL_COUNTS
from mim_bench.errors import ConfigError
from mim_bench.profiling.fake_gpu import DEVICE, OnMeta, fake_gpu, put_on
from mim_bench.profiling.fake_step import FakeStep, OwnProcess, call_elsewhere
from mim_bench.profiling.step_trace import MemoryParts, StepTrace
from mim_bench.profiling.synthetic import SyntheticData
from mim_bench.recipe.building import build_model, without_pretrained
from mim_bench.recipe.config import load_config
from mim_bench.recipe.effective_batch import iterations_per_update
from mim_bench.recipe.precision import precision_of

# A third of an A100's half-precision throughput by its data sheet (312).
ASSUMED_TFLOPS = 100.0
# Keys of a config on which a step depends.
_OF_A_STEP = ('model', 'data_preprocessor', 'train_dataloader', 'optim_wrapper', 'default_scope')
# Class of a data set -> its name in the checks.
_FULL_SIZE = {'ImageNet': 'imagenet', 'CocoDataset': 'coco'}


@dataclass(frozen=True)
class StepEstimate:
    """Estimate of one process of a training, computed from shapes.

    Attributes:
        precision: 'fp32', 'bf16' or 'fp16'.
        batch_size: Images a forward pass.
        memory: Bytes of tensors at the peak of a step.
        bucket_bytes: Bytes of data parallelism's copies of gradients; 0 for one process.
        flops_forward: Operations of the forward pass of an image.
        flops_step: Operations of forward and backward pass of an image.
        num_parameters: Number of all parameters, frozen ones included.
        num_trainable: Number of parameters with gradients.
        processes: Processes of the training, one a GPU.
        num_images: Images that the recipe trains on, with repetitions; None where unknown.
    """

    precision: str
    batch_size: int
    memory: MemoryParts
    bucket_bytes: int
    flops_forward: float
    flops_step: float
    num_parameters: int
    num_trainable: int
    processes: int = 1
    num_images: int | None = None

    @property
    def total_bytes(self) -> int:
        """Bytes of one GPU at the peak."""
        return self.memory.total + self.bucket_bytes

    def step_s(self, tflops: float) -> float:
        """Seconds of a step at a throughput in TFLOP/s a GPU."""
        return self.flops_step * self.batch_size / (tflops * 1e12)

    def hours(self, tflops: float) -> float | None:
        """Hours of the recipe at a throughput in TFLOP/s a GPU, without loading and evaluation."""
        if self.num_images is None:
            return None
        return self.flops_step * self.num_images / (tflops * 1e12 * self.processes) / 3600

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), 'total_bytes': self.total_bytes}


def estimate_config(
    path: str,
    options: Mapping[str, Any] | None = None,
    *,
    precision: str = 'recipe',
    batch_size: int | None = None,
    has_optimizer: bool = True,
    process: OwnProcess | None = None,
) -> StepEstimate:
    """Estimate the training step of a config file, in a process of its own.

    Args:
        path: Path of the config.
        options: Overrides by dotted key.
        precision: 'recipe', 'fp32', 'bf16' or 'fp16'.
        batch_size: Images a forward pass; the recipe's if None.
        has_optimizer: Include the optimiser's state.
        process: Process to use; a new one if None.

    Raises:
        MimBenchError: The config has no training, or its step reads from the device at an unknown
            place.
    """
    cfg = load_config(path, dict(options or {}))
    if cfg.get('train_cfg') is None or cfg.get('train_dataloader') is None:
        raise ConfigError(f'{path}: trains nothing, so it has no training step to estimate.')
    processes = recipe_processes(cfg)
    arguments = dict(
        precision=precision_of(cfg) if precision == 'recipe' else precision,
        batch_size=batch_size or cfg.train_dataloader.batch_size,
        has_optimizer=has_optimizer,
        processes=processes,
    )
    found = estimate_elsewhere(cfg, process, **arguments)
    return replace(found, num_images=_num_images(cfg, processes))


def recipe_processes(cfg: Config) -> int:
    """Number of GPUs of a recipe: images an update over images a GPU."""
    wrapper = cfg.get('optim_wrapper') or {}
    own = cfg.train_dataloader.batch_size * wrapper.get('accumulative_counts', 1)
    return max(1, cfg.get('effective_batch_size', own) // own)


def image_share(dataset: Mapping[str, Any]) -> float:
    """Images of an epoch over images of the data set (part of the labels, or repeats)."""
    share = 1.0
    while True:
        share *= dataset.get('times', 1) * (dataset.get('share') or 1)
        if 'dataset' not in dataset:
            return share
        dataset = dataset['dataset']


def estimate_elsewhere(
    cfg: Config, process: OwnProcess | None = None, **arguments: Any
) -> StepEstimate:
    """Run :func:`estimate_here` in a process of its own, or in this one if it is one already."""
    settings = {k: v for k, v in cfg.to_dict().items() if k in _OF_A_STEP}
    dataset = settings['train_dataloader']['dataset']
    dataset.pop('share', None)  # a part of the labels gives the same step
    return call_elsewhere(
        _once, estimate_here, settings, cfg.filename, process=process, **arguments
    )


def estimate_here(
    cfg: Config, precision: str, batch_size: int, *, has_optimizer: bool = True, processes: int = 1
) -> StepEstimate:
    """Estimate in this process, which must not use a real GPU before or after.

    Args:
        cfg: Config of a training.
        precision: 'fp32', 'bf16' or 'fp16'.
        batch_size: Images a forward pass.
        has_optimizer: Include the optimiser's state.
        processes: Processes of the training.

    Raises:
        ConfigError: The config has no training.
        ReadBackError: A step reads from the device at an unknown place.
    """
    if precision == 'custom':
        raise ConfigError(
            f'{cfg.filename}: optim_wrapper.type is not known, so the precision is not. Give one '
            'by --precision.'
        )
    MMLogger.get_current_instance().setLevel('ERROR')
    data = SyntheticData(cfg)
    accumulation = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    with _no_collection(), fake_gpu() as mode:
        step = FakeStep(cfg, precision, mode, has_optimizer=has_optimizer)
        with StepTrace(DEVICE, step.model) as trace:
            # Its own peak counts, so the optimiser need not step again.
            step.make_optimizer_state(keep_gradients=accumulation > 1)
            trace.note_state(step.optimizer)
            step.backward(data.batch(batch_size))
    num_parameters, num_trainable = step.count_parameters()
    trained = sum(p.numel() * p.element_size() for p in step.model.parameters() if p.requires_grad)
    return StepEstimate(
        precision=precision,
        batch_size=batch_size,
        memory=trace.peak,
        bucket_bytes=trained if processes > 1 else 0,
        flops_forward=trace.flops_forward / batch_size,
        flops_step=trace.flops / batch_size,
        num_parameters=num_parameters,
        num_trainable=num_trainable,
        processes=processes,
    )


def estimate_forward_elsewhere(cfg: Config) -> tuple[MemoryParts, int]:
    """Memory at the peak and operations of a forward pass without gradients.

    Args:
        cfg: Config with the model and, as ``train_dataloader``, the loader of the images.
    """
    settings = {k: v for k, v in cfg.to_dict().items() if k in _OF_A_STEP}
    settings.pop('optim_wrapper', None)
    return call_elsewhere(_once, _forward_here, settings, cfg.filename)


def _forward_here(cfg: Config) -> tuple[MemoryParts, int]:
    MMLogger.get_current_instance().setLevel('ERROR')
    batch = SyntheticData(cfg).batch(cfg.train_dataloader.batch_size)
    with _no_collection(), fake_gpu() as mode, torch.no_grad():
        with OnMeta():
            model = build_model(without_pretrained(cfg)[0])
        model = put_on(model, mode).eval()
        with StepTrace(DEVICE, model) as trace:
            model(**model.data_preprocessor(batch, False), mode='tensor')
    return trace.peak, trace.flops


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Context without garbage collection, which takes 4 s of 10 with this many small objects."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _num_images(cfg: Config, processes: int) -> int | None:
    """Images that a recipe trains on with the full data set."""
    dataset = cfg.train_dataloader.dataset
    if max_iters := cfg.train_cfg.get('max_iters'):
        images = cfg.train_dataloader.batch_size * processes
        return max_iters * iterations_per_update(cfg) * images
    share = image_share(dataset)
    while 'dataset' in dataset:
        dataset = dataset.dataset
    name = _FULL_SIZE.get(str(dataset.type).rpartition('.')[2])
    is_known = name and not str(cfg.get('data_root', '')).startswith('data/toy')
    return (
        round(REAL_COUNTS[name]['train'] * share * cfg.train_cfg.max_epochs) if is_known else None
    )


# Cached estimates of this process, shared by recipes that differ only in length, and by probes.
_done: dict[str, Any] = {}


def _once(
    estimate: Callable[..., Any], settings: dict[str, Any], filename: str, **arguments: Any
) -> Any:
    """Compute the estimate of a config once; the file's name is not part of the key."""
    torch.set_num_threads(1)
    key = repr((estimate.__name__, settings, arguments))
    if key not in _done:
        _done[key] = estimate(Config(settings, filename=filename), **arguments)
    return _done[key]
