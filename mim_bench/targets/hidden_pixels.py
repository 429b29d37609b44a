"""The pixels of hidden patches as targets. Pure functions of tensors."""

import torch

from mim_bench.targets.pixels import normalize_patches


def hidden_pixels(
    images: torch.Tensor, index: torch.Tensor, patch_size: int, *, norm_pix: bool
) -> torch.Tensor:
    """Extract some patches of images, copying no other pixels.

    Args:
        images: (B, C, H, W), any float type; H and W are multiples of ``patch_size``.
        index: (B, n) int64 into the patches in raster order.
        patch_size: Side of a patch in pixels.
        norm_pix: Give every patch zero mean and unit variance, as MAE does.

    Returns:
        (B, n, patch_size * patch_size * C) float32, vectors laid out as those of
        :func:`mim_bench.targets.pixels.patchify`.
    """
    b, c, h, w = images.shape
    rows, cols = h // patch_size, w // patch_size
    patches = images.reshape(b, c, rows, patch_size, cols, patch_size).permute(0, 2, 4, 3, 5, 1)
    samples = torch.arange(b, device=index.device)[:, None]
    row = index.div(cols, rounding_mode='floor')
    pixels = patches[samples, row, index % cols].flatten(2).float()
    return normalize_patches(pixels) if norm_pix else pixels
