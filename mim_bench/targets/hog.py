"""Histograms of oriented gradients as targets. Pure functions of tensors."""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from mim_bench.errors import ConfigError

NORM_EPS = 1e-12


def hog_pyramid(
    images: torch.Tensor,
    num_bins: int,
    cells: Sequence[int],
    biases: Sequence[torch.Tensor] | None = None,
) -> list[torch.Tensor]:
    """Histograms of oriented gradients at several cell sizes.

    For each colour channel: Sobel gradients with reflected borders, the orientation without
    its sign in ``num_bins`` bins of equal width, the whole magnitude into one bin, the mean
    over the cell, then L2 normalisation over the bins. No window, no gamma, no clipping.

    Gradients are computed once, and without biases histograms, too, for all sizes: the mean
    over a cell is the mean over the finer cells it consists of.

    Args:
        images: (B, C, H, W), normalised; converted to float32.
        num_bins: Bins over half a turn.
        cells: Sides of the cells in pixels; H and W are multiples of each.
        biases: For each cell size two numbers that are added to the horizontal and to the
            vertical gradient; None adds nothing.

    Returns:
        For each cell size float32 (B, rows * cols, C * num_bins), without gradient: cells in
        raster order, the channel before the bin. A cell without gradients is all zero.

    Raises:
        ConfigError: A side of the image is no multiple of a cell size.

    Source: LocalMIM, arXiv:2303.05251; Haoqing-Wang/LocalMIM@314a6e5. Differs: float32 also
    under autocast; the official code runs the filters and the angle in half precision.
    """
    _check(images, cells)
    histograms: list[torch.Tensor | None] = [None] * len(cells)
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        gradients = sobel_gradients(images.float())
        groups = [list(range(len(cells)))] if biases is None else [[k] for k in range(len(cells))]
        for tasks in groups:
            bias = None if biases is None else biases[tasks[0]]
            finest = math.gcd(*(cells[k] for k in tasks))
            fine = _cell_histograms(*gradients, num_bins, finest, bias)
            for k in tasks:
                coarse = _pool(fine, cells[k] // finest)
                histograms[k] = F.normalize(coarse, dim=-1, eps=NORM_EPS).flatten(3).flatten(1, 2)
    return histograms


def sobel_gradients(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Horizontal and vertical gradients with reflected borders.

    Args:
        images: (B, C, H, W) float.

    Returns:
        Two tensors (B, C, H, W): correlations with [[1, 0, -1], [2, 0, -2], [1, 0, -1]] and
        with its transpose. Mirrored borders give exactly 0 across them.
    """
    padded = F.pad(images, (1, 1, 1, 1), mode='reflect')
    left, middle, right = padded[..., :-2], padded[..., 1:-1], padded[..., 2:]
    # In place where possible: allocation takes longer than these few operations.
    across = left - right
    horizontal = across[..., :-2, :] + across[..., 2:, :]
    horizontal.add_(across[..., 1:-1, :], alpha=2)
    smooth = torch.add(left, right, out=across).add_(middle, alpha=2)
    return horizontal, smooth[..., :-2, :] - smooth[..., 2:, :]


def _cell_histograms(
    horizontal: torch.Tensor,
    vertical: torch.Tensor,
    num_bins: int,
    cell: int,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """Mean histograms of the cells: (B, rows, cols, C, bins)."""
    if bias is not None:
        bias = bias.to(horizontal)
        horizontal, vertical = horizontal + bias[0], vertical + bias[1]
    b, c, h, w = horizontal.shape
    rows, cols = h // cell, w // cell
    place = torch.atan2(horizontal, vertical)
    # A half turn has num_bins bins; an orientation and its opposite share one.
    place.div_(math.pi).mul_(num_bins).floor_().remainder_(num_bins)
    place = place.long().add_(_first_bins((h, w), cell, c, num_bins, place.device))
    magnitude = torch.addcmul(horizontal * horizontal, vertical, vertical).sqrt_()
    sums = magnitude.new_zeros(b, rows * cols * c * num_bins)
    sums.scatter_add_(1, place.flatten(1), magnitude.flatten(1))
    return sums.div_(cell**2).reshape(b, rows, cols, c, num_bins)


def _first_bins(
    size: tuple[int, int], cell: int, channels: int, num_bins: int, device: torch.device
) -> torch.Tensor:
    """Index of the first bin of each pixel's cell: (C, H, W) int64."""
    rows = torch.arange(size[0], device=device).div(cell, rounding_mode='floor')
    cols = torch.arange(size[1], device=device).div(cell, rounding_mode='floor')
    cells = rows[:, None] * (size[1] // cell) + cols
    channel = torch.arange(channels, device=device)[:, None, None]
    return (cells * channels + channel) * num_bins


def _pool(histograms: torch.Tensor, factor: int) -> torch.Tensor:
    """Means over squares of cells: (B, rows, cols, C, bins) -> (B, rows / f, cols / f, C, bins)."""
    if factor == 1:
        return histograms
    b, rows, cols, c, bins = histograms.shape
    grouped = histograms.reshape(b, rows // factor, factor, cols // factor, factor, c, bins)
    return grouped.mean(dim=(2, 4))


def _check(images: torch.Tensor, cells: Sequence[int]) -> None:
    size = tuple(images.shape[-2:])
    uneven = [cell for cell in cells if any(side % cell for side in size)]
    if uneven:
        raise ConfigError(
            f'hog_pyramid: images of {size} pixels are no whole number of cells of {uneven} '
            'pixels. Choose an image size that is a multiple of every cell.'
        )
