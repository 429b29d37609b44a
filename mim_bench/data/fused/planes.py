"""Pillow's resizing, enhancing and transforming of images, byte for byte.

Planes are contiguous uint8 arrays (3, height, width): B, G, R. Each function does what the Pillow
call in its docstring does.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

from mim_bench.data.fused import kernels

_LEVELS = np.arange(256)


def split(image: np.ndarray) -> np.ndarray:
    """Planes of an array (height, width, 3), which may be a view of a larger one."""
    planes = np.empty((3, *image.shape[:2]), np.uint8)
    cv2.split(image, list(planes))
    return planes


# ------------------------------------------------------------------------------------- resizing


def columns_of(image: np.ndarray) -> np.ndarray:
    """The columns of an array (height, width, 3) as rows, uint8 (width, 3 x height).

    A row holds that column of each plane. The array may be a view of a larger one.
    """
    height, width, _ = image.shape
    return cv2.transpose(image.reshape(height, -1)).reshape(width, -1)


def columns_of_planes(planes: np.ndarray) -> np.ndarray:
    """The columns of planes (3, height, width) as rows, as :func:`columns_of` gives them."""
    return cv2.transpose(planes.reshape(-1, planes.shape[2]))


def resize(
    columns: np.ndarray, size: tuple[int, int], interpolation: str, *, is_mirrored: bool = False
) -> np.ndarray:
    """``image.resize``, whose filters grow with the image that they shrink.

    Args:
        columns: The image, :func:`columns_of`.
        size: (height, width).
        interpolation: 'bilinear', 'bicubic' or 'lanczos'.
        is_mirrored: Mirror the result from left to right.

    Returns:
        Planes (3, height, width).
    """
    narrow = _resize_rows(columns[None], size[1], interpolation, is_mirrored)[0]
    planes = cv2.transpose(narrow).reshape(3, -1, size[1])
    return _resize_rows(planes, size[0], interpolation)


def _resize_rows(
    planes: np.ndarray, target: int, interpolation: str, is_mirrored: bool = False
) -> np.ndarray:
    """Planes of ``target`` rows, from the last one if mirrored."""
    count, source, length = planes.shape
    if source == target:
        return np.ascontiguousarray(planes[:, ::-1]) if is_mirrored else planes
    first, weights = _weights(source, target, interpolation, is_mirrored)
    taps = weights.shape[1]
    if taps > source:
        planes = np.pad(planes, ((0, 0), (0, taps - source), (0, 0)))  # with weights of 0
    weigh = kernels.weigher(taps) if taps <= _MOST_TAPS else kernels.weigh_long
    out = np.empty((count, target, length), np.uint8)
    weigh(planes, first, weights, out)
    return out


_RADII = {'bilinear': 1, 'bicubic': 2, 'lanczos': 3}
_MOST_TAPS = 12  # of a sum that LLVM writes out


@lru_cache(maxsize=4096)
def _weights(
    source: int, target: int, interpolation: str, is_mirrored: bool
) -> tuple[np.ndarray, np.ndarray]:
    """First source row of each row, int64 (target,), and weights, int32 (target, taps)."""
    radius = _RADII[interpolation]
    most = math.ceil(radius * max(source / target, 1)) * 2 + 1
    first, weights = np.empty(target, np.int64), np.empty((target, most), np.int32)
    kernels.filter_weights(source, radius, first, weights)
    used = int(weights.any(0).nonzero()[0][-1]) + 1
    # Even numbers, since each is compiled for.
    step = 2 if used <= _MOST_TAPS else kernels.GROUP
    taps = -(-used // step) * step
    begin = np.minimum(first, max(source - taps, 0))
    places = (first - begin)[:, None] + np.arange(used)
    moved = np.zeros((target, taps + used), np.int32)
    np.put_along_axis(moved, places, weights[:, :used], axis=1)
    order = slice(None, None, -1 if is_mirrored else 1)
    return begin[order].copy(), moved[order, :taps].copy()


# ------------------------------------------------------------------------------ colour and tables


BRIGHTNESS, CONTRAST, COLOR = kernels.BRIGHTNESS, kernels.CONTRAST, kernels.COLOR


def enhance(
    planes: np.ndarray,
    operations: Sequence[tuple[int, float]],
    box: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
    """``ImageEnhance.Brightness``, ``Contrast`` and ``Color``, one after another.

    Args:
        planes: The image.
        operations: Kind and factor of each, no contrast twice; 1 changes nothing.
        box: (top, left, height, width) of the result that is returned; None for all of it.
    """
    kinds, factors = zip(*operations, strict=True)
    box = box or (0, 0, *planes.shape[1:])
    return kernels.enhance(planes, np.array(kinds), np.array(factors, np.float32), box)


def adjust_sharpness(planes: np.ndarray, factor: float) -> np.ndarray:
    """``ImageEnhance.Sharpness(image).enhance(factor)``."""
    smooth, out = np.empty_like(planes), np.empty_like(planes)
    kernels.smooth(planes, smooth)
    kernels.blend(smooth.ravel(), planes.ravel(), np.float32(factor), out.ravel())
    return out


def auto_contrast(planes: np.ndarray) -> np.ndarray:
    """``ImageOps.autocontrast(image)``."""
    tables = []
    for plane in planes:
        low, high, *_ = cv2.minMaxLoc(plane)
        scale = 255.0 / (high - low) if high > low else 1.0
        offset = -low * scale if high > low else 0.0
        tables.append(np.clip(np.trunc(_LEVELS * scale + offset), 0, 255))
    return _look_up(planes, tables)


def equalize(planes: np.ndarray) -> np.ndarray:
    """``ImageOps.equalize(image)``."""
    tables = []
    for plane in planes:
        counts = cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel().astype(int)
        step = (counts.sum() - counts[counts.nonzero()[0][-1]]) // 255
        below = np.cumsum(counts) - counts
        tables.append(np.minimum((step // 2 + below) // step, 255) if step else _LEVELS)
    return _look_up(planes, tables)


def invert(planes: np.ndarray) -> np.ndarray:
    """``ImageOps.invert(image)``."""
    return ~planes


def solarize(planes: np.ndarray, threshold: int) -> np.ndarray:
    """``ImageOps.solarize(image, threshold)``."""
    return _look_up(planes, [np.where(threshold > _LEVELS, _LEVELS, 255 - _LEVELS)] * 3)


def solarize_add(planes: np.ndarray, add: int, threshold: int = 128) -> np.ndarray:
    """Timm's ``solarize_add``: ``add`` more for the levels under the threshold."""
    brighter = np.minimum(_LEVELS + add, 255)
    return _look_up(planes, [np.where(threshold > _LEVELS, brighter, _LEVELS)] * 3)


def posterize(planes: np.ndarray, bits: int) -> np.ndarray:
    """``ImageOps.posterize(image, bits)``; 0 bits give black, which Pillow 13 refuses."""
    return planes & np.uint8(0xFF << (8 - bits) & 0xFF) if bits < 8 else planes


def _look_up(planes: np.ndarray, tables: list[np.ndarray]) -> np.ndarray:
    out = np.empty_like(planes)
    for plane, table, result in zip(planes, tables, out, strict=True):
        cv2.LUT(plane, table.astype(np.uint8), dst=result)
    return out


# ------------------------------------------------------------------------------------- geometry


def shift(
    planes: np.ndarray,
    slope: float,
    offset: float,
    *,
    axis: int,
    fill: tuple[int, int, int],
    resample: int,
) -> np.ndarray:
    """``image.transform(image.size, AFFINE, ...)`` of a shear or a translation along one axis.

    Args:
        planes: The image.
        slope: Pixels by which a row (a column) is shifted further than the one before it.
        offset: Pixels by which all are shifted.
        axis: 1 shifts rows to the left, 0 columns upwards.
        fill: B, G, R of what is left empty.
        resample: ``Image.Resampling.BICUBIC`` or ``BILINEAR``.
    """
    rows = planes if axis == 1 else _turned(planes)
    colour, is_cubic = np.array(fill, np.uint8), resample == Image.Resampling.BICUBIC
    out = np.empty_like(rows)
    if not kernels.shift(rows, float(slope), float(offset), colour, is_cubic, out):
        out = _affine(rows, (1, slope, offset, 0, 1, 0), fill, resample)
    return out if axis == 1 else _turned(out)


def rotate(
    planes: np.ndarray, degrees: float, *, fill: tuple[int, int, int], resample: int
) -> np.ndarray:
    """``image.rotate(degrees, resample, fillcolor=...)``, less than a quarter turn."""
    if degrees % 360 == 0:
        return planes
    height, width = planes.shape[1:]
    angle = -math.radians(degrees % 360)
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = width / 2, height / 2
    # Added in Pillow's order.
    matrix = (cos, sin, cos * -x + sin * -y + 0.0 + x, -sin, cos, -sin * -x + cos * -y + 0.0 + y)
    return _affine(planes, matrix, fill, resample)


def _affine(
    planes: np.ndarray, matrix: tuple[float, ...], fill: tuple[int, int, int], resample: int
) -> np.ndarray:
    padded = np.stack([cv2.copyMakeBorder(p, 2, 2, 2, 2, cv2.BORDER_REPLICATE) for p in planes])
    packed, out = np.empty((3, padded[0].size), np.uint32), np.empty_like(planes)
    kernels.pack(padded.ravel(), packed.ravel())
    numbers, colour = np.array(matrix, np.float64), np.array(fill, np.uint8)
    kernels.affine(packed, numbers, colour, resample == Image.Resampling.BICUBIC, out)
    return out


def _turned(planes: np.ndarray) -> np.ndarray:
    """Rows and columns exchanged."""
    count, height, width = planes.shape
    out = np.empty((count, width, height), np.uint8)
    for plane, result in zip(planes, out, strict=True):
        cv2.transpose(plane, dst=result)
    return out
