"""Images as patches: cutting all or some of them out, and embedding them."""

import torch
from torch import nn
from torch.nn import functional as F


def cut_patches(images: torch.Tensor, patch_size: tuple[int, int]) -> torch.Tensor:
    """The pixels of each patch.

    Args:
        images: (B, C, H, W), whole patches.
        patch_size: (height, width) of a patch in pixels.

    Returns:
        (B, rows, cols, C * height * width), a vector laid out as a convolution's weights.
    """
    return _patches(images, patch_size).flatten(3)


def take_patches(
    images: torch.Tensor, index: torch.Tensor, patch_size: tuple[int, int]
) -> torch.Tensor:
    """The pixels of some patches, copying no other.

    Args:
        images: (B, C, H, W), whole patches.
        index: (B, n) int64 into the patches in raster order; (1, n) serves all images.
        patch_size: (height, width) of a patch in pixels.

    Returns:
        (B, n, C * height * width), laid out as by :func:`cut_patches`.
    """
    patches = _patches(images, patch_size)
    rows, cols = index.div(patches.shape[2], rounding_mode='floor'), index % patches.shape[2]
    if len(index) == 1:
        return patches[:, rows[0], cols[0]].flatten(2)
    samples = torch.arange(len(index), device=index.device)[:, None]
    return patches[samples, rows, cols].flatten(2)


def _patches(images: torch.Tensor, patch_size: tuple[int, int]) -> torch.Tensor:
    """A view (B, rows, cols, C, height, width)."""
    height, width = patch_size
    patches = images.unflatten(3, (-1, width)).unflatten(2, (-1, height))
    return patches.permute(0, 2, 4, 1, 3, 5)


class PatchEmbed(nn.Module):
    """Patches of an image through one linear map, whose weights are a convolution's.

    Args:
        in_channels: Channels of the images.
        embed_dims: D.
        patch_size: (height, width) of a patch in pixels.
    """

    def __init__(self, in_channels: int, embed_dims: int, patch_size: tuple[int, int]) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.projection = nn.Conv2d(in_channels, embed_dims, patch_size, stride=patch_size)

    def forward(self, images: torch.Tensor, index: torch.Tensor | None = None) -> torch.Tensor:
        """Embed.

        Args:
            images: (B, C, H, W), whole patches.
            index: (B or 1, n) int64, the patches to embed in raster order; all if None.

        Returns:
            (B, n, D), or (B, rows, cols, D) of all patches.
        """
        if index is None:
            patches = cut_patches(images, self.patch_size)
        else:
            patches = take_patches(images, index, self.patch_size)
        return F.linear(patches, self.projection.weight.flatten(1), self.projection.bias)
