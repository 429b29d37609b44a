"""Counts the floating-point operations of a training step with torch."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mim_bench.profiling.step_trace import CORRECTED
from mim_bench.profiling.training_step import TrainingStep


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
