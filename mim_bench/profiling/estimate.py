"""Estimates what a training step takes on a GPU, before there is one: memory, operations, time."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from mim_bench.errors import ConfigError
from mim_bench.profiling.fake_gpu import DEVICE, fake_gpu
from mim_bench.profiling.fake_step import FakeStep, OwnProcess
from mim_bench.profiling.flops import count_flops
from mim_bench.profiling.synthetic import SyntheticData
from mim_bench.profiling.tensor_memory import MemoryParts, TensorMemory
from mim_bench.recipe.config import load_config
from mim_bench.recipe.precision import precision_of

# Batch normalisation over a whole image needs two.
FLOPS_BATCH_SIZE = 2
# Of the half-precision products that an A100 reaches by its data sheet (312), a third.
ASSUMED_TFLOPS = 100.0


@dataclass(frozen=True)
class StepEstimate:
    """What one process of a training needs, by its shapes; nothing of it is measured.

    Attributes:
        precision: 'fp32', 'bf16' or 'fp16'.
        batch_size: Images of a forward pass.
        memory: At the peak of a step: bytes of tensors.
        bucket_bytes: Of the copies of gradients that data parallelism sends; 0 for one process.
        flops_forward: Of an image.
        flops_step: Of an image, forward and backward.
        num_parameters: All, frozen ones too.
        num_trainable: Those with gradients.
    """

    precision: str
    batch_size: int
    memory: MemoryParts
    bucket_bytes: int
    flops_forward: float
    flops_step: float
    num_parameters: int
    num_trainable: int

    @property
    def total_bytes(self) -> int:
        """All that one GPU holds at the peak."""
        return self.memory.total + self.bucket_bytes

    def step_s(self, tflops: float) -> float:
        """Seconds of a step at so many TFLOP/s a GPU."""
        return self.flops_step * self.batch_size / (tflops * 1e12)

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
    processes: int = 1,
    process: OwnProcess | None = None,
) -> StepEstimate:
    """Estimate the training step of a config file, in a process of its own.

    Args:
        path: Of the config.
        options: Overrides by dotted key.
        precision: 'recipe', 'fp32', 'bf16' or 'fp16'.
        batch_size: Images of a forward pass; the recipe's if None.
        has_optimizer: With the optimiser's state.
        processes: Of the training; from two on there are the buckets of data parallelism.
        process: Where to do it; a new one if None.

    Raises:
        MimBenchError: The config has no training, or its step waits for the device where that
            is not known.
    """
    cfg = load_config(path, dict(options or {}))
    arguments = dict(
        precision=precision_of(cfg) if precision == 'recipe' else precision,
        batch_size=batch_size or cfg.train_dataloader.batch_size,
        has_optimizer=has_optimizer,
        processes=processes,
    )
    return estimate_elsewhere(cfg, process, **arguments)


def estimate_elsewhere(
    cfg: Config, process: OwnProcess | None = None, **arguments: Any
) -> StepEstimate:
    """Run :func:`estimate_here` in a process of its own."""
    settings = (cfg.to_dict(), cfg.filename)
    if process is not None:
        return process.call(_from_settings, *settings, **arguments)
    with OwnProcess() as process:
        return process.call(_from_settings, *settings, **arguments)


def estimate_here(
    cfg: Config, precision: str, batch_size: int, *, has_optimizer: bool = True, processes: int = 1
) -> StepEstimate:
    """Estimate in this process, which has no GPU and will have none.

    Args:
        cfg: Of a training.
        precision: 'fp32', 'bf16' or 'fp16'.
        batch_size: Images of a forward pass.
        has_optimizer: With the optimiser's state.
        processes: Of the training.

    Raises:
        ConfigError: The config has no training.
        ReadBackError: A step waits for the device where that is not known.
    """
    if precision == 'custom':
        raise ConfigError(
            f'{cfg.filename}: optim_wrapper.type is not known, so the precision is not. Give one '
            'by --precision.'
        )
    MMLogger.get_current_instance().setLevel('ERROR')
    data = SyntheticData(cfg)
    accumulation = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    with fake_gpu() as mode:
        step = FakeStep(cfg, precision, mode, has_optimizer=has_optimizer)
        forward, total = count_flops(step, data.batch(FLOPS_BATCH_SIZE))
        step.make_optimizer_state(keep_gradients=accumulation > 1)
        with TensorMemory(DEVICE, step.model, step.optimizer) as memory:
            step(data.batch(batch_size))
    num_parameters, num_trainable = step.count_parameters()
    trained = sum(p.numel() * p.element_size() for p in step.model.parameters() if p.requires_grad)
    return StepEstimate(
        precision=precision,
        batch_size=batch_size,
        memory=memory.peak,
        bucket_bytes=trained if processes > 1 else 0,
        flops_forward=forward / FLOPS_BATCH_SIZE,
        flops_step=total / FLOPS_BATCH_SIZE,
        num_parameters=num_parameters,
        num_trainable=num_trainable,
    )


def _from_settings(settings: dict, filename: str, **arguments: Any) -> StepEstimate:
    torch.set_num_threads(1)
    return estimate_here(Config(settings, filename=filename), **arguments)
