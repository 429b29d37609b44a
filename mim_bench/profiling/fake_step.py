"""The training step of a config on the fake GPU."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any
from unittest import mock

import torch
from mmengine.config import Config
from torch import nn

from mim_bench.errors import TrainingError
from mim_bench.profiling.fake_gpu import DEVICE, FakeGpu, OnMeta, put_on
from mim_bench.profiling.training_step import StepSettings, TrainingStep
from mim_bench.recipe.building import build_model

_GPUS = 'CUDA_VISIBLE_DEVICES'
_NO_GPU = {_GPUS: ''}


class FakeStep(TrainingStep):
    """The step of a recipe at full size on the fake GPU; use it inside ``fake_gpu()``.

    The loss is not scaled.

    Args:
        cfg: Config of a training.
        precision: 'fp32', 'bf16' or 'fp16'.
        mode: Result of ``fake_gpu()``.
        has_optimizer: Also build the recipe's optimiser.
    """

    def __init__(
        self, cfg: Config, precision: str, mode: FakeGpu, *, has_optimizer: bool = True
    ) -> None:
        self._mode = mode
        super().__init__(cfg, StepSettings(DEVICE, precision, has_optimizer))
        self._cpu_products = 'torch'  # no CPU code between a line and its operator

    def _make_model(self, cfg: Config, seed: int) -> nn.Module:
        with OnMeta():
            return build_model(cfg)

    def _on_device(self, model: nn.Module) -> nn.Module:
        return put_on(model, self._mode)

    def forward(self, batch: dict[str, Any], *, compiled: bool = True) -> torch.Tensor:
        """The loss of a batch on the CPU; normalisation of the images included."""
        return super().forward(batch, compiled=False)

    def make_optimizer_state(self, *, keep_gradients: bool = False) -> None:
        """Step the optimiser once, so that its state exists as after an update.

        Args:
            keep_gradients: Keep gradients, as between accumulated passes.
        """
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        if self.optimizer is not None:
            self.optimizer.step()
        if not keep_gradients:
            self.model.zero_grad(set_to_none=True)


# Whether this process is an OwnProcess that sees no GPU.
_is_own = False


class OwnProcess:
    """A process that starts at its first call, and restarts after it died.

    Arguments and results of calls are pickled.

    Args:
        environment: Added to the process's environment. By default it hides real GPUs, so that
            the fake one can be registered.
    """

    def __init__(self, environment: Mapping[str, str] = _NO_GPU) -> None:
        self._environment = environment
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> 'OwnProcess':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function of a module in the process.

        Raises:
            TrainingError: The process died; its output is on standard error.
            Exception: The exception of the function.
        """
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, get_context('spawn'), _set_own, (self._environment.get(_GPUS) == '',)
            )
        try:
            with mock.patch.dict(os.environ, self._environment):
                task = self._pool.submit(function, *args, **kwargs)
            return task.result()
        except BrokenProcessPool as error:
            self.close()
            raise TrainingError(
                f'{function.__name__}{_shown(args)}: its process died; the error is printed above.'
            ) from error

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _set_own(is_own: bool) -> None:
    global _is_own
    _is_own = is_own


def call_elsewhere(
    function: Callable[..., Any], *args: Any, process: OwnProcess | None = None, **kwargs: Any
) -> Any:
    """Call a function of a module that registers the fake GPU.

    Args:
        function: The function.
        process: Process to use. None: this one if it is an OwnProcess, otherwise a new one.
        *args: Arguments of the function.
        **kwargs: Keyword arguments of the function.
    """
    if process is not None:
        return process.call(function, *args, **kwargs)
    if _is_own:
        return function(*args, **kwargs)
    with OwnProcess() as process:
        return process.call(function, *args, **kwargs)


def _shown(args: Sequence[Any]) -> str:
    return '(' + ', '.join(arg for arg in args if isinstance(arg, str)) + ')'
