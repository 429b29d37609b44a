"""Counts the graph breaks of torch.compile in a network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mim_bench.profiling.synthetic import SyntheticData
from mim_bench.profiling.training_step import StepSettings, TrainingStep
from mim_bench.recipe.config import load_config

BATCH_SIZE = 2


@dataclass(frozen=True)
class GraphBreaks:
    """Reasons of the graph breaks; empty if all is one graph.

    Attributes:
        backbone: Class of the backbone.
        training: Breaks in the forward pass of a training step, with a mask if the method has one.
        features: Breaks in the backbone on images without a mask.
    """

    backbone: str
    training: tuple[str, ...]
    features: tuple[str, ...]


def graph_breaks(network: nn.Module, *args: Any, **kwargs: Any) -> tuple[str, ...]:
    """Trace a call of a network; reason and line of each graph break.

    The graphs run as plain torch.
    """
    torch._dynamo.reset()
    found = torch._dynamo.explain(network)(*args, **kwargs)
    reasons = tuple(
        f'{reason.user_stack[-1].filename}:{reason.user_stack[-1].lineno}: '
        f'{reason.reason.partition(chr(10))[0]}'
        for reason in found.break_reasons
    )
    if not reasons and found.graph_count != 1:
        return (f'{found.graph_count} graphs for no stated reason',)
    return reasons


def graph_breaks_of_config(path: str, options: Mapping[str, Any] | None = None) -> GraphBreaks:
    """Trace the training step of a config, and its backbone without a mask, on the CPU."""
    cfg = load_config(path, dict(options or {}))
    step = TrainingStep(cfg, StepSettings('cpu', 'fp32', has_optimizer=False))
    data = step.model.data_preprocessor(SyntheticData(cfg).batch(BATCH_SIZE), True)
    inputs = data['inputs']
    images = inputs if isinstance(inputs, torch.Tensor) else inputs[0]  # views of a batch
    backbone = step.model.backbone
    # mmpretrain's encoders require the argument ``mask``.
    no_mask = {} if type(backbone).__module__.startswith('mim_bench.') else {'mask': None}
    return GraphBreaks(
        backbone=type(backbone).__name__,
        training=graph_breaks(step.model, **data, mode='loss'),
        features=graph_breaks(backbone, images, **no_mask),
    )
