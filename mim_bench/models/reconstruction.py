"""What a method returns to be drawn: the input, what was hidden, what was predicted."""

from typing import TypedDict

import torch
from torch import nn
from torch.nn import functional as F

GREY = 0.5


class Reconstruction(TypedDict):
    """Pictures of a batch, each (B, 3, H, W) float32 in [0, 1]."""

    input: torch.Tensor
    masked: torch.Tensor
    predicted: torch.Tensor


def denormalize(images: torch.Tensor, data_preprocessor: nn.Module) -> torch.Tensor:
    """Undo the mean and deviation of a data preprocessor: (B, 3, H, W) -> [0, 1]."""
    images = images.float()
    if hasattr(data_preprocessor, 'mean'):
        images = images * data_preprocessor.std + data_preprocessor.mean
    return (images / 255).clamp(0, 1)


def hide_patches(images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Grey out what a mask hides.

    Args:
        images: (B, 3, H, W) in [0, 1].
        mask: (B, rows, cols), True = hidden.
    """
    pixels = F.interpolate(mask[:, None].float(), size=images.shape[-2:], mode='nearest')
    return torch.where(pixels.bool(), torch.full_like(images, GREY), images)
