"""Antialiased resizing of uint8 images by torch, within one grey level of Pillow's."""

from functools import lru_cache

import cv2
import numpy as np
import torch
from torch.nn import functional

_LANCZOS_RADIUS = 3
_BAND_ROWS = 12


def resize(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Resize as ``PIL.Image.resize`` does, whose filters grow with the image that they shrink.

    Args:
        image: uint8 (height, width, 3); may be a view of a larger image.
        size: (height, width).
        interpolation: 'bilinear', 'bicubic' or 'lanczos'.

    Returns:
        uint8 (height, width, 3), contiguous.
    """
    if interpolation == 'lanczos':
        return _lanczos(image, size)
    # The batch axis first and moved along: torch sees channels last, which is twice as fast.
    pixels = torch.from_numpy(image).unsqueeze(0).permute(0, 3, 1, 2)
    small = functional.interpolate(pixels, size, mode=interpolation, antialias=True)
    return np.ascontiguousarray(small[0].permute(1, 2, 0).numpy())


def _lanczos(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Two passes of matrix products, columns first and rounded between as in Pillow."""
    rows, cols = size
    narrow = _contract(cv2.transpose(image), cols)  # (cols, height, 3)
    return _contract(cv2.transpose(narrow), rows)


def _contract(pixels: np.ndarray, target: int) -> np.ndarray:
    """uint8 (source, other, 3) -> (target, other, 3)."""
    source, *rest = pixels.shape
    floats = torch.from_numpy(pixels).view(source, -1).float()
    result = floats.new_empty(target, floats.shape[1])
    for number, (low, high, weights) in enumerate(_bands(source, target)):
        row = number * _BAND_ROWS
        torch.mm(weights, floats[low:high], out=result[row : row + len(weights)])
    return result.round_().clamp_(0, 255).numpy().astype(np.uint8).reshape(target, *rest)


@lru_cache(maxsize=1024)
def _bands(source: int, target: int) -> list[tuple[int, int, torch.Tensor]]:
    """The filter's matrix (target, source) in bands of rows: first column, end, weights."""
    scale = source / target
    stretch = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    radius = _LANCZOS_RADIUS * stretch
    low = np.maximum((centres - radius + 0.5).astype(int), 0)
    high = np.minimum((centres + radius + 0.5).astype(int), source)
    taps = low[:, None] + np.arange((high - low).max())
    z = (taps + 0.5 - centres[:, None]) / stretch
    weights = np.sinc(z) * np.sinc(z / _LANCZOS_RADIUS)
    weights[(np.abs(z) >= _LANCZOS_RADIUS) | (taps >= high[:, None])] = 0
    weights /= weights.sum(1, keepdims=True)
    bands = []
    for row in range(0, target, _BAND_ROWS):
        rows = slice(row, row + _BAND_ROWS)
        first, end = int(low[row]), int(high[rows][-1])
        places = taps[rows] - first
        band = np.zeros((len(places), places.max() + 1), np.float32)
        np.put_along_axis(band, places, weights[rows], axis=1)
        bands.append((first, end, torch.from_numpy(band[:, : end - first].copy())))
    return bands
