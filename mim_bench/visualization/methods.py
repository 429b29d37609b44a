"""Makes and checks the panels of a pre-training model of any library."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.visualization import mmpretrain
from mim_bench.visualization.own_methods import (
    conmim_panels,
    localmim_panels,
    symmim_panels,
    ummae_panels,
)
from mim_bench.visualization.panels import Panel

# By class name, so that a subclass is served too.
ADAPTERS = {
    'LocalMIM': localmim_panels,
    'ConMIM': conmim_panels,
    'SymMIM': symmim_panels,
    'UMMAE': ummae_panels,
    'SimMIM': mmpretrain.simmim_panels,
    'MAE': mmpretrain.mae_panels,
    'BEiT': mmpretrain.beit_panels,
    'MaskFeat': mmpretrain.maskfeat_panels,
}


def panels_of(
    model: nn.Module,
    inputs: torch.Tensor | list[torch.Tensor],
    data_samples: Sequence[Any],
    *,
    predict: bool,
) -> list[Panel]:
    """Panels of the inputs, the targets and, with ``predict``, the predictions of a model.

    A model of another package provides a method ``panels(inputs, data_samples, *, predict)``.

    Args:
        model: A pre-training model, not wrapped, in evaluation mode.
        inputs: Output of its data preprocessor: (B, 3, H, W), or several such views.
        data_samples: B samples with the masks.
        predict: Whether to run the network.

    Returns:
        At least one panel; the first shows the input.

    Raises:
        ConfigError: The model has neither the method nor an adapter, or breaks the contract.
    """
    own = getattr(model, 'panels', None)
    if own is not None:
        panels = own(inputs, data_samples, predict=predict)
    else:
        panels = _adapter(model)(model, inputs, data_samples, predict=predict)
    _check(type(model).__name__, panels, len(data_samples))
    return panels


def require_panels(model: nn.Module) -> None:
    """Check early whether a model has panels.

    Raises:
        ConfigError: :func:`panels_of` cannot serve this model.
    """
    if getattr(model, 'panels', None) is None:
        _adapter(model)


def _adapter(model: nn.Module) -> Any:
    for ancestor in type(model).__mro__:
        if ancestor.__name__ in ADAPTERS:
            return ADAPTERS[ancestor.__name__]
    raise ConfigError(
        f'{type(model).__name__} cannot show its masks. Give it a method '
        'panels(inputs, data_samples, *, predict), or use the config of a pre-training method.'
    )


def _check(name: str, panels: Sequence[Panel], batch: int) -> None:
    shapes = {panel.title: tuple(panel.images.shape) for panel in panels}
    fit = all(len(s) == 4 and s[:2] == (batch, 3) for s in shapes.values())
    if not shapes or not fit or len(shapes) < len(panels):
        raise ConfigError(
            f'{name}.panels gave {shapes} for {batch} images. It must give one or more panels, '
            'each with a title of its own and images of shape (B, 3, H, W).'
        )
