"""The dry run of a launch: builds and fills its model, and runs two steps on synthetic data."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from mmengine.config import Config

from mim_bench.cost.memory import memory_meter
from mim_bench.engine.launch import Launch, groups_of, resolve_run
from mim_bench.engine.load_gate import backbone_of, load_backbone
from mim_bench.errors import DataError
from mim_bench.profiling.estimate import (
    ASSUMED_TFLOPS,
    estimate_elsewhere,
    estimate_forward_elsewhere,
    image_share,
)
from mim_bench.profiling.synthetic import SyntheticData, as_training, loader_of_test
from mim_bench.profiling.training_step import PRECISIONS, StepSettings, TrainingStep
from mim_bench.recipe.building import build_model, init_weights, without_pretrained, without_values
from mim_bench.recipe.config import check_data_roots
from mim_bench.recipe.effective_batch import iterations_per_update, num_processes
from mim_bench.recipe.limit import Limit
from mim_bench.recipe.optimizer_groups import LayerGroup
from mim_bench.recipe.precision import precision_of

NUM_STEPS = 2


@dataclass(frozen=True)
class Trial:
    """Cost of two steps on one device. The number of images is not part of it.

    Attributes:
        device: Kind of the device, 'cuda' or 'cpu'.
        load_share: Share of the backbone's parameters that the checkpoint fills; None without one.
        memory_bytes: Bytes of the weights, and peak of a step above them.
        step_s: Seconds of the second step; the first one includes start-up.
        images_per_step: Images a step of all processes.
        num_steps: Steps of the whole run, if its config states them.
        epochs: Otherwise passes over the training images; None for a test, which reads the
            training and the validation images once.
        image_share: Share of the training images in an epoch.
        fewest_images: Smallest number of images of an epoch; with fewer there is no step.
        most_images: Largest number of images of each data set, if the launch limits it.
        groups: Parameter groups of the optimiser by layer; empty for a test.
        assumed_tflops: None if memory and time are measured. Otherwise they are estimated:
            memory from the shapes of a step, time from its operations at this throughput a GPU.
        memory_parts: In an estimate, bytes of parameters, gradients, optimizer, activations,
            temporary and buckets.
        flops_step: In an estimate, operations of an image (for a training, forward and backward).
        missing: Data that the run would read and that do not exist; None if all exist.
    """

    device: str
    load_share: float | None
    memory_bytes: int
    step_s: float
    images_per_step: int
    num_steps: int | None = None
    epochs: float | None = None
    image_share: float = 1.0
    fewest_images: int = 1
    most_images: int | None = None
    groups: tuple[LayerGroup, ...] = ()
    assumed_tflops: float | None = None
    memory_parts: dict[str, int] | None = None
    flops_step: float | None = None
    missing: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The trial as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> 'Trial':
        """Read the data of :meth:`to_dict`, also after a round trip through JSON."""
        groups = [LayerGroup(**{**g, 'names': tuple(g['names'])}) for g in data['groups']]
        return cls(**{**data, 'groups': tuple(groups)})


def try_out(launch: Launch, command: str, assumed_tflops: float | None = None) -> Trial:
    """Check whether a run can start, and measure or estimate a step. No data set is read.

    A run of several processes is tried with the batch of one process; communication is not
    measured. Without a GPU, runs in mixed precision, of several processes or of the full tier are
    estimated.

    Args:
        launch: Launch of the run.
        command: 'train' or 'test'.
        assumed_tflops: Estimate every run at this throughput in TFLOP/s a GPU.

    Raises:
        MimBenchError: The run cannot start.
    """
    cfg = resolve_run(launch, command)
    loaders = {'test': ('test_dataloader', 'test_cfg')}
    try:
        check_data_roots(cfg, loaders.get(command, ('train_dataloader', 'val_dataloader')))
    except DataError as error:
        return replace(_try(cfg, launch, command, assumed_tflops), missing=str(error))
    return _try(cfg, launch, command, assumed_tflops)


def _try(cfg: Config, launch: Launch, command: str, assumed_tflops: float | None) -> Trial:
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    is_for_gpus = (
        num_processes(launch.launcher) > 1
        or cfg.get('protocol', {}).get('tier') == 'full'
        or (command == 'train' and precision_of(cfg) != 'fp32')
    )
    if assumed_tflops is not None or (device == 'cpu' and is_for_gpus):
        estimate = _estimate_test if command == 'test' else _estimate_training
        return estimate(cfg, launch, assumed_tflops or ASSUMED_TFLOPS)
    return (_try_test if command == 'test' else _try_training)(cfg, launch, device)


def _try_training(cfg: Config, launch: Launch, device: str) -> Trial:
    precision = precision_of(cfg)
    settings = StepSettings(device, precision if precision in PRECISIONS else 'fp32')
    step = TrainingStep(cfg, settings)
    share = _load(step.model, launch)
    batch = SyntheticData(cfg).batch(cfg.train_dataloader.batch_size)
    batch = step.model.data_preprocessor.cast_data(batch)
    memory_bytes, step_s = _measure(lambda: step(batch), step.model, device)
    return Trial(
        device=device,
        load_share=share,
        memory_bytes=memory_bytes,
        step_s=step_s,
        **_length(cfg, launch),
    )


def _estimate_training(cfg: Config, launch: Launch, tflops: float) -> Trial:
    share = _filled_share(cfg, launch)
    loader, processes = cfg.train_dataloader, num_processes(launch.launcher)
    estimate = estimate_elsewhere(
        cfg, precision=precision_of(cfg), batch_size=loader.batch_size, processes=processes
    )
    return Trial(
        device='cuda',
        load_share=share,
        memory_bytes=estimate.total_bytes,
        step_s=estimate.step_s(tflops),
        assumed_tflops=tflops,
        memory_parts={**asdict(estimate.memory), 'buckets': estimate.bucket_bytes},
        flops_step=estimate.flops_step,
        **_length(cfg, launch),
    )


def _length(cfg: Config, launch: Launch) -> dict[str, Any]:
    """The fields of a trial that state the length of a training."""
    loop, loader = cfg.train_cfg, cfg.train_dataloader
    max_iters = loop.get('max_iters')
    num_images = loader.batch_size * num_processes(launch.launcher)
    return dict(
        images_per_step=num_images,
        num_steps=max_iters and max_iters * iterations_per_update(cfg),
        epochs=None if max_iters else loop.max_epochs,
        image_share=image_share(loader.dataset),
        fewest_images=num_images * iterations_per_update(cfg) if loader.get('drop_last') else 1,
        most_images=_most_images(launch),
        groups=tuple(groups_of(launch)),
    )


def _try_test(cfg: Config, launch: Launch, device: str) -> Trial:
    model = build_model(cfg)
    init_weights(model)
    share = _load(model, launch)
    model = model.to(device).eval()
    batch = SyntheticData(as_training(cfg)).batch(loader_of_test(cfg).batch_size)

    @torch.no_grad()
    def forward() -> None:
        model(**model.data_preprocessor(batch, False), mode='tensor')

    memory_bytes, step_s = _measure(forward, model, device)
    return Trial(device, share, memory_bytes, step_s, **_test_length(cfg, launch))


def _estimate_test(cfg: Config, launch: Launch, tflops: float) -> Trial:
    share = _filled_share(cfg, launch)
    memory, flops = estimate_forward_elsewhere(as_training(cfg))
    return Trial(
        device='cuda',
        load_share=share,
        memory_bytes=memory.total,
        step_s=flops / (tflops * 1e12),
        assumed_tflops=tflops,
        memory_parts={**asdict(memory), 'buckets': 0},
        flops_step=flops / loader_of_test(cfg).batch_size,
        **_test_length(cfg, launch),
    )


def _test_length(cfg: Config, launch: Launch) -> dict[str, Any]:
    num_images = loader_of_test(cfg).batch_size * num_processes(launch.launcher)
    return dict(images_per_step=num_images, most_images=_most_images(launch))


def _most_images(launch: Launch) -> int | None:
    return None if launch.limit is None else Limit.parse(launch.limit).number


def _filled_share(cfg: Config, launch: Launch) -> float | None:
    """The share that the checkpoint fills, by a model that is built for nothing else."""
    if not launch.checkpoint:
        return None
    with without_values():
        model = build_model(without_pretrained(cfg)[0])
    return _load(model, launch)


def _load(model: torch.nn.Module, launch: Launch) -> float | None:
    if not launch.checkpoint:
        return None
    backbone = backbone_of(model)
    return load_backbone(backbone, launch.checkpoint, allow_partial=launch.allow_partial).share


def _measure(step: Callable[[], None], model: torch.nn.Module, device: str) -> tuple[int, float]:
    """Bytes of the weights, peak above them in bytes, and seconds of the last step."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    meter = memory_meter(torch.device(device))
    meter.start()
    seconds = 0.0
    for _ in range(NUM_STEPS):
        start = time.perf_counter()
        step()
        if device == 'cuda':
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        meter.sample()
    return weights + (meter.peak_bytes or 0), seconds
