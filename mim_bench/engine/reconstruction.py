"""What a pre-training model makes of masked images, for models of any library."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.errors import ConfigError

PARTS = ('input', 'masked', 'predicted')


def reconstruct(
    model: nn.Module, inputs: torch.Tensor, data_samples: Sequence[Any]
) -> dict[str, torch.Tensor]:
    """Input, masked input and prediction of a batch.

    A model states it by a method ``reconstruct(inputs, data_samples)``; for models of other
    libraries there is an adapter in this module.

    Args:
        model: A pre-training model, not wrapped.
        inputs: (B, 3, H, W), preprocessed.
        data_samples: B samples with the masks.

    Returns:
        By part, each (B, 3, H, W) float in [0, 1], RGB: ``input``; ``masked``, grey where
        hidden; ``predicted``, the model's pixels where hidden and the input elsewhere.

    Raises:
        ConfigError: The model has neither the method nor an adapter, or breaks the contract.
    """
    parts = _reconstructor(model)(model, inputs, data_samples)
    shapes = {name: tuple(parts[name].shape) for name in PARTS if name in parts}
    if set(shapes) != set(PARTS) or set(shapes.values()) != {(len(inputs), 3, *inputs.shape[2:])}:
        raise ConfigError(
            f'{type(model).__name__}.reconstruct gave {shapes} for inputs of shape '
            f'{tuple(inputs.shape)}. It must give {", ".join(PARTS)}, each (B, 3, H, W).'
        )
    return parts


def reconstruct_simmim(
    model: nn.Module, inputs: torch.Tensor, data_samples: Sequence[Any]
) -> dict[str, torch.Tensor]:
    """:func:`reconstruct` for mmpretrain's ``SimMIM``.

    The masks stand in ``data_samples[i].mask``, (rows, cols), 1 = hidden.
    """
    # Not at the top: it imports every model of this package, which other tasks do not need.
    from mim_bench.models.reconstruction import denormalize, hide_patches

    mask = torch.stack([sample.mask for sample in data_samples]).to(inputs.device)
    predicted = model.neck(model.backbone(inputs, mask)[0])
    pixels = F.interpolate(mask[:, None].float(), size=inputs.shape[-2:], mode='nearest')
    filled = torch.where(pixels.bool(), predicted, inputs)
    image = denormalize(inputs, model.data_preprocessor)
    return {
        'input': image,
        'masked': hide_patches(image, mask.bool()),
        'predicted': denormalize(filled, model.data_preprocessor),
    }


Reconstructor = Callable[[nn.Module, torch.Tensor, Sequence[Any]], dict[str, torch.Tensor]]

# By class name, so that nothing is imported for models that are not there.
_ADAPTERS: dict[str, Reconstructor] = {'SimMIM': reconstruct_simmim}


def _reconstructor(model: nn.Module) -> Reconstructor:
    own = getattr(type(model), 'reconstruct', None)
    # mmpretrain's MAE has a method of this name that takes features instead.
    if own is not None and 'inputs' in inspect.signature(own).parameters:
        return own
    for ancestor in type(model).__mro__:
        if ancestor.__name__ in _ADAPTERS:
            return _ADAPTERS[ancestor.__name__]
    raise ConfigError(
        f'{type(model).__name__} cannot show reconstructions. Give it a method '
        'reconstruct(inputs, data_samples), or remove ReconstructionHook from the config.'
    )
