"""Pixels as targets: images to patch vectors and back. Pure functions of tensors."""

import torch

VARIANCE_EPS = 1e-6


def patchify(images: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Cut images into patch vectors.

    Args:
        images: (B, C, H, W); H and W are multiples of ``patch_size``.
        patch_size: Side of a patch in pixels.

    Returns:
        (B, rows * cols, patch_size * patch_size * C): patches in raster order,
        a vector laid out as (row, column, channel).
    """
    return _patches(images, patch_size).flatten(3).flatten(1, 2)


def _patches(images: torch.Tensor, patch_size: int) -> torch.Tensor:
    """View images as patches, (B, rows, cols, height, width, C)."""
    b, c, h, w = images.shape
    rows, cols = h // patch_size, w // patch_size
    patches = images.reshape(b, c, rows, patch_size, cols, patch_size)
    return patches.permute(0, 2, 4, 3, 5, 1)


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
        :func:`patchify`.
    """
    patches = _patches(images, patch_size)
    samples = torch.arange(len(images), device=index.device)[:, None]
    cols = patches.shape[2]
    row = index.div(cols, rounding_mode='floor')
    pixels = patches[samples, row, index % cols].flatten(2).float()
    return normalize_patches(pixels) if norm_pix else pixels


def unpatchify(patches: torch.Tensor, grid: tuple[int, int], patch_size: int) -> torch.Tensor:
    """Put patch vectors back together; the inverse of :func:`patchify`.

    Args:
        patches: (B, rows * cols, patch_size * patch_size * C).
        grid: Patches as (rows, cols).
        patch_size: Side of a patch in pixels.

    Returns:
        (B, C, rows * patch_size, cols * patch_size).
    """
    b, (rows, cols) = patches.shape[0], grid
    images = patches.reshape(b, rows, cols, patch_size, patch_size, -1)
    images = images.permute(0, 5, 1, 3, 2, 4)  # (B, C, rows, p, cols, p)
    return images.reshape(b, -1, rows * patch_size, cols * patch_size)


def normalize_patches(patches: torch.Tensor) -> torch.Tensor:
    """Give every patch vector zero mean and unit variance.

    Args:
        patches: (..., D).

    Returns:
        (..., D): (patch - mean) / sqrt(variance + 1e-6), with the unbiased variance.

    Source: MAE, arXiv:2111.06377, section 3 ("normalized pixel values").
    """
    mean, std = patch_statistics(patches)
    return (patches - mean) / std


def patch_statistics(patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each patch, as :func:`normalize_patches` uses them.

    Args:
        patches: (..., D).

    Returns:
        Two tensors (..., 1).
    """
    mean = patches.mean(dim=-1, keepdim=True)
    # Several times as fast as torch.var_mean on a CPU.
    squares = (patches - mean).square().sum(dim=-1, keepdim=True)
    return mean, (squares / (patches.shape[-1] - 1) + VARIANCE_EPS).sqrt()
