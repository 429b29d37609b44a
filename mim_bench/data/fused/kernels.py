"""Loops over pixels, compiled by numba, that compute what Pillow's C code computes.

Images are uint8 planes (3, height, width). Integers and floating-point numbers have Pillow's width
and are added in its order, so that bytes are equal. Loops run over contiguous memory, so that LLVM
makes vector instructions of them.
"""

from collections.abc import Callable

import numba
import numpy as np

_BITS = 22  # of the fractions of a filter's weights: Pillow's PRECISION_BITS
_HALF = 1 << (_BITS - 1)


def _compiled(function: Callable) -> Callable:
    """The function, compiled when it is first called, and kept on disk where that can be."""
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # neither the package nor the user's cache can be written
        return numba.njit(function)


@_compiled
def weigh(
    source: np.ndarray, first: np.ndarray, weights: np.ndarray, total: np.ndarray, out: np.ndarray
) -> None:
    """Resample the rows of an image.

    Args:
        source: uint8 (source rows, row length).
        first: int64 (rows,): where the filter of each row begins.
        weights: int32 (rows, taps), fractions of ``_BITS``; taps are a multiple of four. Those that
            lie beyond the last source row are 0.
        total: int32 (row length,), overwritten.
        out: uint8 (rows, row length), the result.
    """
    rows, length = out.shape
    last = source.shape[0] - 1
    taps = weights.shape[1]
    for row in range(rows):
        line = out[row]
        for x in range(length):
            total[x] = _HALF
        for start in range(0, taps, 4):
            place = first[row] + start
            w0, w1 = weights[row, start], weights[row, start + 1]
            w2, w3 = weights[row, start + 2], weights[row, start + 3]
            p0, p1 = source[min(place, last)], source[min(place + 1, last)]
            p2, p3 = source[min(place + 2, last)], source[min(place + 3, last)]
            if start < taps - 4:
                for x in range(length):
                    total[x] += w0 * p0[x] + w1 * p1[x] + w2 * p2[x] + w3 * p3[x]
            else:
                for x in range(length):
                    level = np.int32(total[x] + w0 * p0[x] + w1 * p1[x] + w2 * p2[x] + w3 * p3[x])
                    line[x] = min(max(level >> _BITS, 0), 255)


@_compiled
def grey(planes: np.ndarray, out: np.ndarray) -> None:
    """``convert('L')`` of B, G, R planes (3, pixels) into ``out`` (pixels,)."""
    blue, green, red = planes[0], planes[1], planes[2]
    for x in range(out.size):
        out[x] = (red[x] * 19595 + green[x] * 38470 + blue[x] * 7471 + 0x8000) >> 16


@_compiled
def blend(first: np.ndarray, second: np.ndarray, share: np.float32, out: np.ndarray) -> None:
    """``Image.blend``: from ``first``, ``share`` of the way to ``second``; uint8 (pixels,) each."""
    for x in range(out.size):
        start = np.float32(first[x])
        level = start + share * (np.float32(second[x]) - start)
        out[x] = np.int32(min(max(level, np.float32(0)), np.float32(255)))


@_compiled
def blend_with_level(level: int, second: np.ndarray, share: np.float32, out: np.ndarray) -> None:
    """:func:`blend` where ``first`` is the same everywhere."""
    start = np.float32(level)
    for x in range(out.size):
        found = start + share * (np.float32(second[x]) - start)
        out[x] = np.int32(min(max(found, np.float32(0)), np.float32(255)))


@_compiled
def smooth(planes: np.ndarray, out: np.ndarray) -> None:
    """``ImageFilter.SMOOTH``: five parts of a pixel, one of each neighbour; borders are copied."""
    count, height, width = planes.shape
    for plane in range(count):
        for row in range(height):
            line, mid = out[plane, row], planes[plane, row]
            line[:] = mid
            if 0 < row < height - 1:
                above, below = planes[plane, row - 1], planes[plane, row + 1]
                for x in range(1, width - 1):
                    # No sum of 13 parts lies half-way between two levels.
                    parts = np.int32(above[x - 1]) + above[x] + above[x + 1] + mid[x - 1]
                    parts += mid[x + 1] + below[x - 1] + below[x] + below[x + 1] + 5 * mid[x]
                    line[x] = np.int32((np.float32(np.int32(parts)) + 6.5) * np.float32(1 / 13))


@_compiled
def _cubic(v1: float, v2: float, v3: float, v4: float, d: float) -> float:
    """Pillow's cubic between ``v2`` and ``v3`` of a transform, whose slope is -1."""
    p2 = -v1 + v3
    p3 = 2 * (v1 - v2) + v3 - v4
    p4 = -v1 + v2 - v3 + v4
    return v2 + d * (p2 + d * (p3 + d * p4))


@_compiled
def pack(pixels: np.ndarray, out: np.ndarray) -> None:
    """Each pixel with the three after it as one uint32, the first lowest; (pixels,) each."""
    for x in range(out.size - 3):
        near = np.uint32(pixels[x]) | np.uint32(pixels[x + 1]) << np.uint32(8)
        far = np.uint32(pixels[x + 2]) << np.uint32(16) | np.uint32(pixels[x + 3]) << np.uint32(24)
        out[x] = np.uint32(near | far)


@_compiled
def _cubic_of(packed: np.uint32, d: float) -> float:
    v1, v2 = np.float64(np.int32(packed & 255)), np.float64(np.int32(packed >> 8 & 255))
    v3, v4 = np.float64(np.int32(packed >> 16 & 255)), np.float64(np.int32(packed >> 24 & 255))
    return _cubic(v1, v2, v3, v4, d)


@_compiled
def _linear_of(packed: np.uint32, d: float) -> float:
    v2, v3 = np.float64(np.int32(packed >> 8 & 255)), np.float64(np.int32(packed >> 16 & 255))
    return v2 + (v3 - v2) * d


@_compiled
def affine(
    packed: np.ndarray, matrix: np.ndarray, fill: np.ndarray, is_cubic: bool, out: np.ndarray
) -> None:
    """``Image.transform`` by an affine matrix.

    Args:
        packed: uint32 (planes, pixels): :func:`pack` of the planes, their border repeated twice.
        matrix: float64 (6,), from the result to the source.
        fill: uint8 (planes,), of pixels whose centre comes from outside of the source.
        is_cubic: Interpolate bicubically, not bilinearly.
        out: uint8 (planes, height, width), the result, of the source's size.
    """
    count, height, width = out.shape
    a0, a1, a2, a3, a4, a5 = matrix
    stride = width + 4
    dx, dy = np.empty(width), np.empty(width)
    place = np.empty(width, np.int32)
    for row in range(height):
        for column in range(width):
            x = a0 * (column + 0.5) + a1 * (row + 0.5) + a2
            y = a3 * (column + 0.5) + a4 * (row + 0.5) + a5
            is_inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            left, top = np.floor(x - 0.5), np.floor(y - 0.5)
            dx[column] = (x - 0.5) - left
            dy[column] = (y - 0.5) - top
            place[column] = np.int32((top + 1) * stride + (left + 1)) if is_inside else -1
        for plane in range(count):
            source, line, empty = packed[plane], out[plane, row], fill[plane]
            for column in range(width):
                start = max(place[column], 0)
                q1, q2 = source[start], source[start + stride]
                q3, q4 = source[start + 2 * stride], source[start + 3 * stride]
                d = dx[column]
                if is_cubic:
                    v1, v2, v3, v4 = (
                        _cubic_of(q1, d),
                        _cubic_of(q2, d),
                        _cubic_of(q3, d),
                        _cubic_of(q4, d),
                    )
                    level = _cubic(v1, v2, v3, v4, dy[column])
                else:
                    v2, v3 = _linear_of(q2, d), _linear_of(q3, d)
                    level = v2 + (v3 - v2) * dy[column]
                level = np.int32(min(max(level, 0.0), 255.0))
                line[column] = level if place[column] >= 0 else empty


@_compiled
def shift(
    planes: np.ndarray,
    slope: float,
    offset: float,
    fill: np.ndarray,
    is_cubic: bool,
    out: np.ndarray,
) -> bool:
    """:func:`affine` by ``(1, slope, offset, 0, 1, 0)``, many times as fast.

    Returns:
        False where rounding leaves the pixels of a row unevenly spaced; ``out`` is not complete.
    """
    count, height, width = planes.shape
    moved = np.empty(width)
    part = np.empty(width)
    padded = np.empty(3 * width + 8, np.uint8)
    for row in range(height):
        for x in range(width):
            moved[x] = (x + 0.5) + slope * (row + 0.5) + offset
            part[x] = (moved[x] - 0.5) - np.floor(moved[x] - 0.5)
        left = np.int64(np.floor(moved[0] - 0.5))
        uneven = 0
        for x in range(width):
            uneven += np.int64(np.floor(moved[x] - 0.5)) != left + x
        if uneven:
            return False
        begin = min(max(left - 1 + width + 4, 0), 2 * width + 4)
        for plane in range(count):
            source, line = planes[plane, row], out[plane, row]
            padded[: width + 4] = source[0]
            padded[width + 4 : 2 * width + 4] = source
            padded[2 * width + 4 :] = source[width - 1]
            p0, p1 = padded[begin : begin + width], padded[begin + 1 : begin + 1 + width]
            p2, p3 = padded[begin + 2 : begin + 2 + width], padded[begin + 3 : begin + 3 + width]
            empty = fill[plane]
            for x in range(width):
                v2, v3 = np.float64(p1[x]), np.float64(p2[x])
                if is_cubic:
                    level = _cubic(np.float64(p0[x]), v2, v3, np.float64(p3[x]), part[x])
                else:
                    level = v2 + (v3 - v2) * part[x]
                level = np.int32(min(max(level, 0.0), 255.0))
                line[x] = level if 0 <= moved[x] < width else empty
    return True
