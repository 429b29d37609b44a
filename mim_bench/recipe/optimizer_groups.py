"""Learning rate, weight decay and parameters of each layer under a recipe's optimiser."""

from collections.abc import Iterator
from dataclasses import dataclass

from mmengine.optim import build_optim_wrapper
from torch import nn

from mim_bench.recipe.layer_decay import layer_numbering


@dataclass(frozen=True)
class LayerGroup:
    """Parameters of one layer with the same learning rate and weight decay.

    Attributes:
        layer: Number of the layer from 0; None where the backbone does not number its layers.
        lr: The learning rate before the schedule.
        lr_scale: The learning rate as a share of the optimiser's.
        weight_decay: Weight decay of these parameters.
        num_parameters: Number of values, not of tensors.
        names: Names of the tensors, in the order of the model.
    """

    layer: int | None
    lr: float
    lr_scale: float
    weight_decay: float
    num_parameters: int
    names: tuple[str, ...]


def layer_groups(model: nn.Module, optim_wrapper: dict) -> list[LayerGroup]:
    """The groups of a model under a config's optimiser, first layers first.

    Args:
        model: The unwrapped model.
        optim_wrapper: The ``optim_wrapper`` of a config, with any constructor.
    """
    optimizer = build_optim_wrapper(model, optim_wrapper).optimizer
    full_rate, layer_of = optimizer.defaults['lr'], layer_numbering(model)
    members: dict[tuple, list[str]] = {}
    for name, group in _by_name(model, optimizer.param_groups):
        layer = layer_of(name)[0] if layer_of else None
        key = (layer, group['lr'], group.get('weight_decay', 0.0))
        members.setdefault(key, []).append(name)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    rows = [
        LayerGroup(
            layer, lr, lr / full_rate, weight_decay, sum(map(sizes.get, names)), tuple(names)
        )
        for (layer, lr, weight_decay), names in members.items()
    ]
    return sorted(rows, key=lambda row: (row.layer or 0, row.lr, -row.weight_decay))


def _by_name(model: nn.Module, groups: list[dict]) -> Iterator[tuple[str, dict]]:
    """Name and group of all trained parameters, in the order of the model."""
    group_of = {parameter: group for group in groups for parameter in group['params']}
    for name, parameter in model.named_parameters():
        # Without settings mmengine's constructors also pass frozen parameters.
        if parameter in group_of and parameter.requires_grad:
            yield name, group_of[parameter]
