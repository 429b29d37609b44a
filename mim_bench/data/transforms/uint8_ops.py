"""Pillow's operations of colour and geometry on uint8 arrays, fast and within one grey level.

The arithmetic of ``pixels='torch'``. Images are arrays (height, width, 3), B, G, R. Each function
does what the Pillow call in its docstring does; inverting, solarising, posterising and the two
histogram operations give the same bytes, the others round once in a while to the next level.
"""

from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from PIL import Image

_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
_LEVELS = np.arange(256)
# Pillow cuts fractions off, OpenCV rounds them. Not 0.5, or whole numbers would be halves.
_CUT = -0.499
_NUM_TAPS = 4  # of a cubic
# Added to sums whose fractions are cut off, so that rounding loses no level.
_ROUNDING = 1e-3


def grey_of(image: np.ndarray) -> np.ndarray:
    """Grey levels (height, width): ``image.convert('L')``."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def mean_grey(image: np.ndarray) -> int:
    """The level that ``ImageEnhance.Contrast`` blends with."""
    return int(cv2.mean(grey_of(image))[0] + 0.5)


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """``ImageEnhance.Brightness(image).enhance(factor)``."""
    return cv2.addWeighted(image, factor, image, 0, _CUT)


def adjust_contrast(image: np.ndarray, factor: float, mean: int | None = None) -> np.ndarray:
    """``ImageEnhance.Contrast(image).enhance(factor)``.

    Args:
        image: The image, or a crop of it.
        factor: 1 changes nothing.
        mean: :func:`mean_grey` of the whole image, where ``image`` is a crop.
    """
    mean = mean_grey(image) if mean is None else mean
    return cv2.addWeighted(image, factor, image, 0, (1 - factor) * mean + _CUT)


def adjust_color(image: np.ndarray, factor: float) -> np.ndarray:
    """``ImageEnhance.Color(image).enhance(factor)``."""
    grey = cv2.cvtColor(grey_of(image), cv2.COLOR_GRAY2BGR)
    return cv2.addWeighted(image, factor, grey, 1 - factor, _CUT)


def adjust_sharpness(image: np.ndarray, factor: float) -> np.ndarray:
    """``ImageEnhance.Sharpness(image).enhance(factor)``."""
    smooth = image.copy()  # Pillow leaves the border as it is
    smooth[1:-1, 1:-1] = cv2.filter2D(image, -1, _SMOOTH)[1:-1, 1:-1]
    return cv2.addWeighted(image, factor, smooth, 1 - factor, _CUT)


def auto_contrast(image: np.ndarray) -> np.ndarray:
    """``ImageOps.autocontrast(image)``."""
    tables = np.empty((1, 256, 3), np.uint8)
    for channel, plane in enumerate(cv2.split(image)):
        low, high, *_ = cv2.minMaxLoc(plane)
        scale = 255.0 / (high - low) if high > low else 1.0
        offset = -low * scale if high > low else 0.0
        tables[0, :, channel] = np.clip(np.trunc(_LEVELS * scale + offset), 0, 255)
    return cv2.LUT(image, tables)


def equalize(image: np.ndarray) -> np.ndarray:
    """``ImageOps.equalize(image)``."""
    tables = np.empty((1, 256, 3), np.uint8)
    for channel in range(3):
        counts = cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel().astype(int)
        step = (counts.sum() - counts[counts.nonzero()[0][-1]]) // 255
        below = np.cumsum(counts) - counts
        tables[0, :, channel] = np.minimum((step // 2 + below) // step, 255) if step else _LEVELS
    return cv2.LUT(image, tables)


def invert(image: np.ndarray) -> np.ndarray:
    """``ImageOps.invert(image)``."""
    return cv2.bitwise_not(image)


def solarize(image: np.ndarray, threshold: int) -> np.ndarray:
    """``ImageOps.solarize(image, threshold)``."""
    table = np.where(threshold > _LEVELS, _LEVELS, 255 - _LEVELS)
    return cv2.LUT(image, table.astype(np.uint8))


def solarize_add(image: np.ndarray, add: int, threshold: int = 128) -> np.ndarray:
    """Timm's ``solarize_add``: ``add`` more for the levels under the threshold."""
    table = np.where(threshold > _LEVELS, np.minimum(_LEVELS + add, 255), _LEVELS)
    return cv2.LUT(image, table.astype(np.uint8))


def posterize(image: np.ndarray, bits: int) -> np.ndarray:
    """``ImageOps.posterize(image, bits)``; 0 bits give black, which Pillow 13 refuses."""
    return image & np.uint8(0xFF << (8 - bits) & 0xFF) if bits < 8 else image


def shift(
    image: np.ndarray,
    slope: float,
    offset: float,
    *,
    axis: int,
    fill: tuple[int, int, int],
    resample: int,
) -> np.ndarray:
    """``image.transform(image.size, AFFINE, ...)`` of a shear or a translation along one axis.

    Args:
        image: The image.
        slope: Pixels by which a row (a column) is shifted further than the one before it.
        offset: Pixels by which all are shifted.
        axis: 1 shifts rows to the left, 0 columns upwards.
        fill: B, G, R of what is left empty.
        resample: ``Image.Resampling.BICUBIC`` or ``BILINEAR``.
    """
    if axis == 0:
        turned = cv2.transpose(image)
        shifted = shift(turned, slope, offset, axis=1, fill=fill, resample=resample)
        return cv2.transpose(shifted)
    height, width = image.shape[:2]
    moved = slope * (np.arange(height) + 0.5) + offset  # pixels, of each row
    first = np.floor(moved).astype(int)
    weights = _tap_weights((moved - first).astype(np.float32), resample)
    rows = _moved_rows(image, first)
    shifted = _weigh_evenly(rows, weights) if slope == 0 else _weigh_by_row(rows, weights)
    # A pixel is left empty where its centre comes from outside of the image.
    start, stop = (np.ceil(edge - moved - 0.5).astype(np.int32)[:, None] for edge in (0, width))
    column = np.arange(width, dtype=np.int32)
    is_empty = ((column < start) | (column >= stop)).view(np.uint8)
    return cv2.copyTo(_one_colour(image.shape, tuple(fill)), is_empty, shifted)


@lru_cache(maxsize=8)
def _one_colour(shape: tuple[int, ...], colour: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, colour, np.uint8)


def _tap_weights(d: np.ndarray, resample: int) -> dict[int, np.ndarray]:
    """Weight of each neighbour, counted from the one before, for fractions ``d`` of a pixel."""
    if resample == Image.Resampling.BILINEAR:
        return {1: 1 - d, 2: d}
    # Pillow's cubic of a transform has the slope -1, that of its resize -0.5.
    return {
        0: -d + 2 * d**2 - d**3,
        1: 1 - 2 * d**2 + d**3,
        2: d + d**2 - d**3,
        3: -(d**2) + d**3,
    }


def _weigh_evenly(rows: np.ndarray, weights: dict[int, np.ndarray]) -> np.ndarray:
    """The sum of the neighbours, (height, width, 3), whose weights are the same in all rows."""
    kernel = np.zeros((1, _NUM_TAPS), np.float32)
    for tap, weight in weights.items():
        kernel[0, tap] = weight[0]
    pixels = rows.reshape(len(rows), -1, 3)
    cut = -0.5 + _ROUNDING
    return cv2.filter2D(pixels, -1, kernel, anchor=(0, 0), delta=cut)[:, : 1 - _NUM_TAPS]


def _weigh_by_row(rows: np.ndarray, weights: dict[int, np.ndarray]) -> np.ndarray:
    """The same with weights (height,) of each row."""
    pixels = torch.from_numpy(rows).float()
    length = rows.shape[1] - 3 * (_NUM_TAPS - 1)
    total = torch.full((len(rows), length), _ROUNDING)
    for tap, weight in weights.items():
        neighbours = pixels[:, 3 * tap : 3 * tap + length]
        total.addcmul_(neighbours, torch.from_numpy(weight).unsqueeze(1))
    return total.clamp_(0, 255).numpy().astype(np.uint8).reshape(len(rows), -1, 3)


def _moved_rows(image: np.ndarray, first: np.ndarray) -> np.ndarray:
    """(height, 3 * (width + 3)): row y from its pixel ``first[y] - 1`` on; edges are repeated."""
    height, width = image.shape[:2]
    pad = min(int(np.abs(first).max()), width) + 3
    padded = cv2.copyMakeBorder(image, 0, 0, pad, pad, cv2.BORDER_REPLICATE)
    length = 3 * (width + _NUM_TAPS - 1)
    starts = padded.shape[1] - width - 2
    windows = as_strided(padded, (height, starts, length), (padded.strides[0], 3, 1))
    return windows[np.arange(height), np.clip(first + pad - 1, 0, starts - 1)]
