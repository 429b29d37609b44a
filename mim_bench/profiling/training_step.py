"""The training step of any config, without a runner: forward, backward, optimiser."""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mim_bench.compat.cpu_products import cpu_products
from mim_bench.errors import ConfigError
from mim_bench.profiling.step_trace import CORRECTED
from mim_bench.recipe.building import (
    build_model,
    init_weights,
    library_scope,
    without_pretrained,
)

PRECISIONS = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@dataclass(frozen=True)
class StepSettings:
    """Settings of a step.

    Attributes:
        device: Device of torch, for example 'cpu' or 'cuda'.
        precision: A key of :data:`PRECISIONS`; the forward pass of bf16 and fp16 is autocast.
        has_optimizer: Step the optimiser (and average the momentum network) after backward.
        is_compiled: Compile the forward pass with torch.compile.
    """

    device: str = 'cpu'
    precision: str = 'fp32'
    has_optimizer: bool = True
    is_compiled: bool = False


class TrainingStep:
    """A model with random weights and its recipe's training step, without accumulation.

    Args:
        cfg: Config of a training; pre-trained files that it names are not loaded.
        settings: See :class:`StepSettings`.
        seed: Seed of the weights.

    Raises:
        ConfigError: The config has no training, or the device does not support the settings.
    """

    def __init__(self, cfg: Config, settings: StepSettings, seed: int = 0) -> None:
        _check(cfg, settings)
        self.settings = settings
        self._cpu_products = 'torch' if settings.is_compiled else cfg.get('cpu_products')
        cfg, _ = without_pretrained(cfg)
        # With one process synchronised statistics are local, and SyncBN needs a GPU.
        self.model = self._on_device(revert_sync_batchnorm(self._make_model(cfg, seed))).train()
        self.optimizer, self.clip_grad = None, None
        if settings.has_optimizer:
            self.optimizer, self.clip_grad = _build_optimizer(self.model, cfg)
        self._call = torch.compile(self.model) if settings.is_compiled else self.model
        # Low enough that no gradient overflows, since a skipped step creates no optimiser state.
        is_scaled = settings.precision == 'fp16' and settings.device.startswith('cuda')
        self._scaler = torch.amp.GradScaler('cuda', init_scale=128.0, enabled=is_scaled)

    def _make_model(self, cfg: Config, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        model = build_model(cfg)
        init_weights(model)
        return model

    def _on_device(self, model: nn.Module) -> nn.Module:
        return model.to(self.settings.device)

    def __call__(self, batch: dict[str, Any]) -> None:
        """Run one step on a batch of the loader."""
        self.backward(batch)
        if self.optimizer is not None:
            self._step_optimizer()
        self.model.zero_grad(set_to_none=True)

    def backward(self, batch: dict[str, Any]) -> None:
        """Run forward and backward pass on a batch of the loader."""
        loss = self._scaler.scale(self.forward(batch))
        with cpu_products(self._cpu_products):  # activation checkpointing recomputes here
            loss.backward()

    def forward(self, batch: dict[str, Any], *, compiled: bool = True) -> torch.Tensor:
        """The loss of a batch, normalisation of the images included."""
        data = self.model.data_preprocessor(batch, True)
        call = self._call if compiled else self.model
        dtype = PRECISIONS[self.settings.precision]
        device_type = torch.device(self.settings.device).type
        is_mixed = dtype is not torch.float32
        with torch.autocast(device_type, dtype, enabled=is_mixed), cpu_products(self._cpu_products):
            losses = call(**data, mode='loss')
        return self.model.parse_losses(losses)[0]

    def count_parameters(self) -> tuple[int, int]:
        """Numbers of all and of trained parameters."""
        sizes = [(p.numel(), p.requires_grad) for p in self.model.parameters()]
        return sum(n for n, _ in sizes), sum(n for n, is_trained in sizes if is_trained)

    def _step_optimizer(self) -> None:
        if self.clip_grad is not None:
            self._scaler.unscale_(self.optimizer)
            with_gradient = [p for p in self.model.parameters() if p.grad is not None]
            nn.utils.clip_grad_norm_(with_gradient, **self.clip_grad)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        momentum_network = getattr(self.model, 'momentum_network', None)
        if hasattr(momentum_network, 'update_parameters'):
            momentum_network.update_parameters(self.model, 0.5)


def count_flops(step: TrainingStep, batch: dict[str, Any]) -> tuple[int, int]:
    """Count matrix products and convolutions; a multiply-add is two operations.

    Element-wise operations, normalisations, gathers and the optimiser are not counted, as in
    published numbers. Recomputation by activation checkpointing is counted.

    Args:
        step: The step; it is run without compilation.
        batch: A batch on the device of the step.

    Returns:
        Operations of the forward pass, and of forward and backward, for the whole batch.
    """
    # torch's counter ignores the CPU's fused attention and oneDNN's products, so explicit operators
    # are used. Recomputation inside fused kernels is not counted.
    counter = FlopCounterMode(display=False, custom_mapping=CORRECTED)
    with _without_onednn(), sdpa_kernel(SDPBackend.MATH), counter:
        loss = step.forward(batch, compiled=False)
        forward = counter.get_total_flops()
        loss.backward()
        total = counter.get_total_flops()
    step.model.zero_grad(set_to_none=True)
    return forward, total


@contextlib.contextmanager
def _without_onednn() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch warns of a flag for Intel's GPUs
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def _check(cfg: Config, settings: StepSettings) -> None:
    device = torch.device(settings.device)
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise ConfigError('--device cuda: torch finds no GPU here. Leave the option out.')
    if device.type == 'cpu' and settings.precision == 'fp16':
        raise ConfigError('--precision fp16 scales the loss, which needs a GPU. Use bf16 on a CPU.')
    if settings.has_optimizer and not cfg.get('optim_wrapper'):
        raise ConfigError(
            f'{cfg.filename}: has no optim_wrapper, so there is no optimiser to step. Use the '
            'config of a training, or --no-optimizer.'
        )


def _build_optimizer(
    model: nn.Module, cfg: Config
) -> tuple[torch.optim.Optimizer, dict[str, Any] | None]:
    """Build the recipe's optimiser with its groups, and its gradient clipping."""
    settings = cfg.optim_wrapper.to_dict()
    # Precision is a setting here, and mmengine's wrapper for mixed precision refuses a CPU.
    for key in ('type', 'loss_scale', 'dtype', 'accumulative_counts'):
        settings.pop(key, None)
    with library_scope(cfg):
        wrapper = build_optim_wrapper(model, {'type': 'OptimWrapper', **settings})
    clip_grad = settings.get('clip_grad')
    if clip_grad is not None and clip_grad.pop('type', 'norm') != 'norm':
        raise ConfigError(f'{cfg.filename}: clip_grad by value cannot be profiled. Clip by norm.')
    return wrapper.optimizer, clip_grad
