"""Type and helpers of the panels of all methods: masks and pixels as pictures.

Other targets are drawn by :mod:`mim_bench.visualization.targets`.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.data.masked_samples import MaskedSamples, gather_masks
from mim_bench.targets.pixels import (
    normalize_patches,
    patch_statistics,
    patchify,
    unpatchify,
)

GREY = 0.5
# Standard deviations of a normalised patch between grey and white.
NORMALIZED_RANGE = 2.0


class Panel(NamedTuple):
    """One column of a drawing.

    Attributes:
        title: Title, for example 'masked input'.
        images: (B, 3, H, W) float in [0, 1], RGB; H and W may differ between panels.
    """

    title: str
    images: torch.Tensor


def masks_for(images: torch.Tensor, data_samples: object) -> MaskedSamples:
    """The masks of a batch on the device of its images."""
    return gather_masks(data_samples).to(images.device)


def denormalize(images: torch.Tensor, data_preprocessor: nn.Module) -> torch.Tensor:
    """Undo the mean and deviation of a data preprocessor: (B, 3, H, W) -> [0, 1]."""
    images = images.float()
    if hasattr(data_preprocessor, 'mean'):
        images = images * data_preprocessor.std + data_preprocessor.mean
    return (images / 255).clamp(0, 1)


def hide_patches(images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Grey out hidden patches.

    Args:
        images: (B, 3, H, W) in [0, 1].
        mask: (B, rows, cols), True = hidden.
    """
    return torch.where(_pixels(mask, images), torch.full_like(images, GREY), images)


def input_and_masked(
    inputs: torch.Tensor, mask: torch.Tensor, data_preprocessor: nn.Module
) -> list[Panel]:
    """The first two panels of most methods.

    Args:
        inputs: (B, 3, H, W), normalised.
        mask: (B, rows, cols), True = hidden.
        data_preprocessor: What normalised them.
    """
    image = denormalize(inputs, data_preprocessor)
    return [Panel('input', image), Panel('masked input', hide_patches(image, mask))]


def show_where_hidden(
    images: torch.Tensor, predicted: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """A prediction where a mask hides, the image elsewhere.

    Args:
        images: (B, 3, H, W).
        predicted: (B, 3, H, W).
        mask: (B, rows, cols), True = hidden.
    """
    return torch.where(_pixels(mask, images), predicted.to(images.dtype), images)


def fill_hidden(
    images: torch.Tensor,
    predicted: torch.Tensor,
    mask: torch.Tensor,
    patch_size: int,
    *,
    norm_pix: bool,
) -> torch.Tensor:
    """Put predicted patch vectors into the places that a mask hides.

    Args:
        images: (B, C, H, W), normalised as the network saw them.
        predicted: The hidden patches in raster order, (B, hidden, patch_size ** 2 * C) or
            flat over the batch; laid out as :func:`mim_bench.targets.pixels.patchify` does.
        mask: (B, rows, cols) bool, True = hidden.
        patch_size: Side of a mask patch in pixels.
        norm_pix: The prediction is of normalised patches: the true patch's mean and deviation
            are applied then, as in MAE's official visualisation.

    Returns:
        (B, C, H, W), normalised like ``images``.
    """
    patches = patchify(images, patch_size).float()
    hidden = mask.flatten(1).bool()
    predicted = predicted.float().reshape(-1, patches.shape[-1])
    if norm_pix:
        mean, std = patch_statistics(patches[hidden])
        predicted = predicted * std + mean
    patches[hidden] = predicted
    return unpatchify(patches, tuple(mask.shape[1:]), patch_size)


def show_normalized(images: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Draw per-patch normalised pixels, the targets of MAE and similar methods.

    Args:
        images: (B, 3, H, W).
        patch_size: Side of a patch in pixels.

    Returns:
        (B, 3, H, W) in [0, 1]; grey is the patch's mean, black and white two deviations.
    """
    grid = (images.shape[2] // patch_size, images.shape[3] // patch_size)
    patches = normalize_patches(patchify(images.float(), patch_size))
    return (unpatchify(patches, grid, patch_size) / (2 * NORMALIZED_RANGE) + GREY).clamp(0, 1)


def _pixels(mask: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Enlarge a mask (B, rows, cols) to pixels (B, 1, H, W), bool."""
    return F.interpolate(mask[:, None].float(), size=images.shape[-2:], mode='nearest').bool()
