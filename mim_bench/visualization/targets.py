"""Draws gradient histograms and discrete tokens."""

import colorsys
import math

import torch
from torch.nn import functional as F

# Side of a histogram's cell on the canvas, in pixels.
CELL_PX = 16
GOLDEN_RATIO = 0.618


def draw_histograms(histograms: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Draw oriented gradients as stars: a line for each bin, as bright as the bin is large.

    Args:
        histograms: (B, bins, rows, cols), or (B, C, bins, rows, cols), whose channels are
            averaged. Bin i holds gradients with atan2(x, y) from i to i + 1 times pi / bins,
            whatever their sign, as in MaskFeat; its line runs along the edge, across the
            gradient. Values under 0, which a network may predict, count as 0.
        size: (height, width) of the picture in pixels.

    Returns:
        (B, 3, height, width) float in [0, 1], grey values.
    """
    if histograms.ndim == 5:
        histograms = histograms.mean(1)
    histograms = histograms.float().clamp(min=0)
    lines = _line_stamps(histograms.shape[1]).to(histograms.device)
    # A star is the brightest of its lines at each pixel.
    stars = torch.zeros(
        *histograms.shape[:1], *histograms.shape[2:], CELL_PX, CELL_PX, device=histograms.device
    )
    for values, line in zip(histograms.unbind(1), lines, strict=True):
        stars = torch.maximum(stars, values[..., None, None] * line)
    canvas = stars.permute(0, 1, 3, 2, 4).flatten(3, 4).flatten(1, 2)[:, None]
    canvas = F.interpolate(canvas, size=size, mode='area')
    brightest = canvas.flatten(1).amax(1)[:, None, None, None].clamp(min=1e-6)
    return (canvas / brightest).expand(-1, 3, -1, -1)


def draw_orientations(histograms: torch.Tensor) -> torch.Tensor:
    """Draw oriented gradients of small cells: the orientation as a colour.

    Args:
        histograms: See :func:`draw_histograms`.

    Returns:
        (B, 3, rows, cols) float in [0, 1]: the hue is the mean orientation (red, green, blue
        in turn over half a turn), dark where the histogram is flat or empty.
    """
    if histograms.ndim == 5:
        histograms = histograms.mean(1)
    histograms = histograms.float().clamp(min=0)
    bins = histograms.shape[1]
    # Orientations have a period of half a turn, so angles are doubled.
    angle = (torch.arange(bins, device=histograms.device) + 0.5) * (2 * math.pi / bins)
    x = torch.einsum('bnrc,n->brc', histograms, angle.cos())
    y = torch.einsum('bnrc,n->brc', histograms, angle.sin())
    agreement = (torch.hypot(x, y) / histograms.sum(1).clamp(min=1e-6)).clamp(max=1)
    hue = torch.atan2(y, x) * (3 / math.pi)  # of six
    shifts = torch.tensor([5.0, 3.0, 1.0], device=hue.device)[:, None, None]
    place = (hue[:, None] + shifts).remainder(6)
    colour = 1 - torch.minimum(place, 4 - place).clamp(0, 1)
    return colour * agreement[:, None]


def draw_tokens(tokens: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Draw discrete tokens, each in a fixed colour.

    Args:
        tokens: (B, rows, cols) integers below ``vocabulary``.
        vocabulary: Number of tokens.

    Returns:
        (B, 3, rows, cols) float in [0, 1].
    """
    colours = [
        colorsys.hsv_to_rgb(GOLDEN_RATIO * i % 1, 0.4 + 0.5 * (i * 7 % 13) / 12, 0.95)
        for i in range(vocabulary)
    ]
    table = torch.tensor(colours, device=tokens.device)
    return table[tokens].permute(0, 3, 1, 2)


def _line_stamps(bins: int) -> torch.Tensor:
    """A soft line through the centre for each bin, (bins, CELL_PX, CELL_PX) in [0, 1]."""
    place = torch.arange(CELL_PX) - (CELL_PX - 1) / 2
    y, x = torch.meshgrid(place, place, indexing='ij')
    stamps = []
    for i in range(bins):
        angle = math.pi * (i + 0.5) / bins
        distance = (x * math.sin(angle) + y * math.cos(angle)).abs()
        inside = (x**2 + y**2).sqrt() <= CELL_PX / 2
        stamps.append((1.2 - distance).clamp(0, 1) * inside)
    return torch.stack(stamps)
