"""Cutting images into patches, all or some of them, and embedding them."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


def filling(side: int, multiple: int) -> int:
    """What a side lacks to the next multiple.

    Not by ``-side % multiple``: torch 2.11 does not compile the remainder of a negative number
    where the size of the images varies.
    """
    return (side + multiple - 1) // multiple * multiple - side


def filled_up(images: torch.Tensor, multiples: Sequence[int]) -> torch.Tensor:
    """Pad images (B, C, H, W) with zeros at the bottom and right to multiples (height, width)."""
    bottom, right = (filling(*pair) for pair in zip(images.shape[-2:], multiples, strict=True))
    return F.pad(images, (0, right, 0, bottom)) if bottom or right else images


def cut_patches(images: torch.Tensor, patch_size: tuple[int, int]) -> torch.Tensor:
    """Cut images into vectors of the pixels of each patch.

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
    """Gather the pixels of some patches without copying others.

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
    """View images as patches, (B, rows, cols, C, height, width)."""
    height, width = patch_size
    patches = images.unflatten(3, (-1, width)).unflatten(2, (-1, height))
    return patches.permute(0, 2, 4, 1, 3, 5)


class PatchConv(nn.Conv2d):
    """A convolution without overlaps, applied to the vectors of its patches.

    Maps stay (B, rows, cols, C) in memory, and patches can be left out.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        patch_size: The kernel's side, or (height, width), and the stride.
    """

    def __init__(
        self, in_channels: int, out_channels: int, patch_size: int | tuple[int, int] = 1
    ) -> None:
        super().__init__(in_channels, out_channels, patch_size, stride=patch_size)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Project vectors (..., C * height * width), laid out as the weights, to (..., D)."""
        return F.linear(patches, self.weight.flatten(1), self.bias)


class PatchEmbed(nn.Module):
    """Embeds the patches of images by one linear map and an optional LayerNorm.

    Args:
        in_channels: Channels of the images.
        embed_dims: Width D of a token.
        patch_size: (height, width) of a patch in pixels.
        norm_eps: Epsilon of the norm; None: no norm.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int,
        patch_size: tuple[int, int],
        *,
        norm_eps: float | None = None,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.projection = PatchConv(in_channels, embed_dims, patch_size)
        self.norm = nn.Identity() if norm_eps is None else nn.LayerNorm(embed_dims, eps=norm_eps)

    def forward(
        self,
        images: torch.Tensor,
        index: torch.Tensor | None = None,
        *,
        is_hidden: torch.Tensor | None = None,
        mask_token: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Embed images.

        Args:
            images: (B, C, H, W), whole patches.
            index: (B or 1, n) int64, the patches to embed in raster order; all if None.
            is_hidden: (B, n) bool, True where the mask token replaces the patch.
            mask_token: (1, 1, D); takes the place of a projected patch, so it passes the norm.

        Returns:
            (B, n, D), or (B, rows, cols, D) of all patches.
        """
        if index is None:
            patches = cut_patches(images, self.patch_size)
        else:
            patches = take_patches(images, index, self.patch_size)
        x = self.projection(patches)
        if is_hidden is not None:
            x = torch.where(is_hidden[..., None], mask_token.to(x.dtype), x)
        return self.norm(x)
