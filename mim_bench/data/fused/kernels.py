"""Loops compiled by numba: what Pillow's C code computes of pixels, and BEiT's mask.

Images are uint8 planes (3, height, width). Integers and floating-point numbers have Pillow's width
and are added in its order, so that bytes are equal. Loops run over contiguous memory, so that LLVM
makes vector instructions of them.
"""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple

from mim_bench.compat.compiled import compiled as _compiled
from mim_bench.masking import random_blocks

_BITS = 22  # of the fractions of a filter's weights: Pillow's PRECISION_BITS
_HALF = 1 << (_BITS - 1)
GROUP = 8  # weights of a long filter that are summed at once

hide_blocks = _compiled(random_blocks.hide_blocks)


@_compiled
def _level(total: int) -> np.int32:
    """The level, 0 to 255, of a sum of fractions."""
    return min(max(total >> _BITS, 0), 255)


@_compiled
def _add(total: int, weights: tuple[int, ...], rows: np.ndarray, x: int) -> np.int32:
    for tap in range(len(weights)):
        total = np.int32(total + np.int32(weights[tap] * np.int32(rows[tap, x])))
    return total


@cache
def weigher(taps: int) -> Callable[..., None]:
    """What resamples the rows of planes by filters of ``taps`` weights.

    It is compiled for that number: LLVM writes the sum out, and the loop over a row then holds
    bytes alone, of which an instruction takes the most.

    Its arguments:
        source: uint8 (planes, source rows, row length).
        first: int64 (rows,): where the filter of each row begins; all of it is in the source.
        weights: int32 (rows, taps), fractions of ``_BITS``.
        out: uint8 (planes, rows, row length), the result.
    """

    @_compiled
    def weigh(source: np.ndarray, first: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
        planes, rows, length = out.shape
        for plane in range(planes):
            for row in range(rows):
                line, near = out[plane, row], source[plane, first[row] :]
                few = to_fixed_tuple(weights[row], taps)
                for x in range(length):
                    line[x] = _level(_add(np.int32(_HALF), few, near, x))

    return weigh


@_compiled
def weigh_long(source: np.ndarray, first: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """What :func:`weigher` makes, for filters of any multiple of :data:`GROUP` taps."""
    planes, rows, length = out.shape
    totals = np.empty(length, np.int32)
    for plane in range(planes):
        for row in range(rows):
            totals[:] = _HALF
            for start in range(0, weights.shape[1], GROUP):
                few = to_fixed_tuple(weights[row, start : start + GROUP], GROUP)
                near = source[plane, first[row] + start :]
                for x in range(length):
                    totals[x] = _add(totals[x], few, near, x)
            for x in range(length):
                out[plane, row, x] = _level(totals[x])


@_compiled
def _curve(x: float, radius: int) -> float:
    """The bilinear, bicubic or Lanczos filter, told by its radius."""
    x = abs(x)
    if x >= radius:
        return 0.0
    if radius == 1:
        return 1.0 - x
    if radius == 2:
        if x < 1.0:
            return ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1.0
        return (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    if x == 0.0:
        return 1.0
    far, near = x * math.pi, x / 3 * math.pi
    return math.sin(far) / far * (math.sin(near) / near)


@_compiled
def filter_weights(source: int, radius: int, first: np.ndarray, weights: np.ndarray) -> None:
    """Where the filter of each row begins, and its weights; see :func:`weigher`.

    Args:
        source: Rows.
        radius: Radius of the filter before it is stretched: 1 bilinear, 2 bicubic, 3 Lanczos.
        first: int64 (rows,), the result.
        weights: int32 (rows, taps), the result; with as many taps as a filter can have.
    """
    rows, taps = weights.shape
    scale = source / rows
    stretch = max(scale, 1.0)
    exact = np.empty(taps)
    for row in range(rows):
        centre = (row + 0.5) * scale
        begin = max(int(centre - radius * stretch + 0.5), 0)
        end = min(int(centre + radius * stretch + 0.5), source)
        first[row] = begin
        total = 0.0
        for tap in range(end - begin):
            exact[tap] = _curve((tap + begin - centre + 0.5) * (1.0 / stretch), radius)
            total += exact[tap]
        for tap in range(taps):
            share = exact[tap] / total * (1 << _BITS) if tap < end - begin else 0.0
            weights[row, tap] = int(share - 0.5 if share < 0 else share + 0.5)


BRIGHTNESS, CONTRAST, COLOR = range(3)


@_compiled
def _grey(blue: np.uint8, green: np.uint8, red: np.uint8) -> int:
    """``convert('L')``."""
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


@_compiled
def _mean_grey(planes: np.ndarray) -> int:
    """The level that ``ImageEnhance.Contrast`` blends with, of B, G, R planes (3, pixels)."""
    total = 0
    for x in range(planes.shape[1]):
        total += _grey(planes[0, x], planes[1, x], planes[2, x])
    return int(total / planes.shape[1] + 0.5)


@_compiled
def _between_levels(start: np.float32, end: np.uint8, share: np.float32) -> np.int32:
    """``Image.blend`` of two levels."""
    level = start + share * (np.float32(end) - start)
    return np.int32(min(max(level, np.float32(0)), np.float32(255)))


@_compiled
def blend(first: np.ndarray, second: np.ndarray, share: np.float32, out: np.ndarray) -> None:
    """``Image.blend``: from ``first``, ``share`` of the way to ``second``; uint8 (pixels,) each."""
    for x in range(out.size):
        out[x] = _between_levels(np.float32(first[x]), second[x], share)


@_compiled
def _enhanced(image: np.ndarray, kind: int, factor: np.float32, mean: int) -> np.ndarray:
    """One of ``ImageEnhance``'s operations on planes."""
    planes, out = image.reshape(3, -1), np.empty_like(image)
    lines = out.reshape(3, -1)
    if kind == COLOR:
        for x in range(planes.shape[1]):
            level = np.float32(_grey(planes[0, x], planes[1, x], planes[2, x]))
            for plane in range(3):
                lines[plane, x] = _between_levels(level, planes[plane, x], factor)
    else:
        level = np.float32(mean if kind == CONTRAST else 0)
        for plane in range(3):
            for x in range(planes.shape[1]):
                lines[plane, x] = _between_levels(level, planes[plane, x], factor)
    return out


@_compiled
def enhance(
    planes: np.ndarray,
    kinds: np.ndarray,
    factors: np.ndarray,
    box: tuple[int, int, int, int],
) -> np.ndarray:
    """A box of what ``ImageEnhance``'s operations give one after another.

    Args:
        planes: uint8 (3, height, width).
        kinds: int64 (operations,), one or more: ``BRIGHTNESS``, ``COLOR``, and ``CONTRAST`` at
            most once, since what comes before it is done to all planes, for their mean.
        factors: float32 (operations,); 1 changes nothing.
        box: (top, left, height, width).
    """
    first, mean = 0, 0
    for number in range(kinds.size):
        if kinds[number] == CONTRAST:
            first = number
    for number in range(first):
        planes = _enhanced(planes, kinds[number], factors[number], 0)
    if kinds[first] == CONTRAST:
        mean = _mean_grey(planes.reshape(3, -1))
    top, left, height, width = box
    planes = planes[:, top : top + height, left : left + width].copy()
    for number in range(first, kinds.size):
        planes = _enhanced(planes, kinds[number], factors[number], mean)
    return planes


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
def _linear(v2: float, v3: float, d: float) -> float:
    return v2 + (v3 - v2) * d


@_compiled
def _cut(level: float) -> np.int32:
    return np.int32(min(max(level, 0.0), 255.0))


@_compiled
def pack(pixels: np.ndarray, out: np.ndarray) -> None:
    """Each pixel with the three after it as one uint32, the first lowest; (pixels,) each."""
    for x in range(out.size - 3):
        near = np.uint32(pixels[x]) | np.uint32(pixels[x + 1]) << np.uint32(8)
        far = np.uint32(pixels[x + 2]) << np.uint32(16) | np.uint32(pixels[x + 3]) << np.uint32(24)
        out[x] = np.uint32(near | far)


@_compiled
def _part(packed: np.uint32, number: int) -> float:
    return np.float64(np.int32(packed >> np.uint32(8 * number) & np.uint32(255)))


@_compiled
def _cubic_of(packed: np.uint32, d: float) -> float:
    return _cubic(_part(packed, 0), _part(packed, 1), _part(packed, 2), _part(packed, 3), d)


@_compiled
def _linear_of(packed: np.uint32, d: float) -> float:
    return _linear(_part(packed, 1), _part(packed, 2), d)


@_compiled
def _fill(line: np.ndarray, begin: int, end: int, level: int) -> None:
    """All but the pixels from ``begin`` to ``end``."""
    for x in range(begin):
        line[x] = level
    for x in range(end, line.size):
        line[x] = level


@_compiled
def _trace(
    matrix: np.ndarray,
    row: int,
    height: int,
    place: np.ndarray,
    dx: np.ndarray,
    dy: np.ndarray,
    is_inside: np.ndarray,
) -> tuple[int, int]:
    """Where the pixels of a row come from.

    Args:
        matrix: See :func:`affine`.
        row: Row of the result.
        height: Height of the source.
        place: uint64 (width,), the result: the first of the sixteen neighbours among packed pixels.
        dx: float64 (width,), the result: from the second neighbour to the point.
        dy: The same of rows.
        is_inside: bool (width,), overwritten.

    Returns:
        The first pixel that comes from inside of the source, and the one after the last.
    """
    a0, a1, a2, a3, a4, a5 = matrix
    width = dx.size
    for column in range(width):
        x = a0 * (column + 0.5) + a1 * (row + 0.5) + a2
        y = a3 * (column + 0.5) + a4 * (row + 0.5) + a5
        is_inside[column] = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        left, top = np.floor(x - 0.5), np.floor(y - 0.5)
        dx[column], dy[column] = (x - 0.5) - left, (y - 0.5) - top
        place[column] = np.int32(top + 1) * np.int32(width + 4) + np.int32(left + 1)
    begin, end = 0, width
    while begin < width and not is_inside[begin]:
        begin += 1
    while end > begin and not is_inside[end - 1]:
        end -= 1
    return begin, end


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
    stride = np.uint64(width + 4)
    dx, dy = np.empty(width), np.empty(width)
    is_inside, place = np.empty(width, np.bool_), np.empty(width, np.uint64)
    q1, q2 = np.empty(width, np.uint32), np.empty(width, np.uint32)
    q3, q4 = np.empty(width, np.uint32), np.empty(width, np.uint32)
    for row in range(height):
        begin, end = _trace(matrix, row, height, place, dx, dy, is_inside)
        for plane in range(count):
            source, line = packed[plane], out[plane, row]
            _fill(line, begin, end, fill[plane])
            for x in range(begin, end):
                start = place[x]
                q1[x], q2[x] = source[start], source[start + stride]
                start += stride + stride
                q3[x], q4[x] = source[start], source[start + stride]
            if is_cubic:
                for x in range(begin, end):
                    v1, v2 = _cubic_of(q1[x], dx[x]), _cubic_of(q2[x], dx[x])
                    v3, v4 = _cubic_of(q3[x], dx[x]), _cubic_of(q4[x], dx[x])
                    line[x] = _cut(_cubic(v1, v2, v3, v4, dy[x]))
            else:
                for x in range(begin, end):
                    v2, v3 = _linear_of(q2[x], dx[x]), _linear_of(q3[x], dx[x])
                    line[x] = _cut(_linear(v2, v3, dy[x]))


@_compiled
def _between(
    source: np.ndarray, place: int, parts: np.ndarray, is_cubic: bool, out: np.ndarray
) -> None:
    """Interpolate a row from its pixel ``place`` on; all neighbours are there."""
    p2, p3 = source[place : place + out.size], source[place + 1 : place + 1 + out.size]
    if is_cubic:
        p1, p4 = source[place - 1 :], source[place + 2 :]
        for x in range(out.size):
            v1, v2 = np.float64(p1[x]), np.float64(p2[x])
            v3, v4 = np.float64(p3[x]), np.float64(p4[x])
            out[x] = _cut(_cubic(v1, v2, v3, v4, parts[x]))
    else:
        for x in range(out.size):
            out[x] = _cut(_linear(np.float64(p2[x]), np.float64(p3[x]), parts[x]))


@_compiled
def _at_border(pixels: np.ndarray, place: int, part: float, is_cubic: bool) -> np.int32:
    """Interpolate one pixel of a row whose first and last pixels are repeated beyond it."""
    last = pixels.size - 1
    v1, v2 = pixels[min(max(place - 1, 0), last)], pixels[min(max(place, 0), last)]
    v3, v4 = pixels[min(max(place + 1, 0), last)], pixels[min(max(place + 2, 0), last)]
    if is_cubic:
        return _cut(_cubic(np.float64(v1), np.float64(v2), np.float64(v3), np.float64(v4), part))
    return _cut(_linear(np.float64(v2), np.float64(v3), part))


@_compiled
def shift(
    planes: np.ndarray,
    slope: float,
    offset: float,
    fill: np.ndarray,
    is_cubic: bool,
    out: np.ndarray,
) -> bool:
    """:func:`affine` by ``(1, slope, offset, 0, 1, 0)`` of planes, in less time.

    Returns:
        False where rounding leaves the pixels of a row unevenly spaced; ``out`` is not complete.
    """
    count, height, width = planes.shape
    part = np.empty(width)
    for row in range(height):
        moved = slope * (row + 0.5)
        left = np.int64(np.floor(((0.5 + moved) + offset) - 0.5))
        uneven = 0
        for x in range(width):
            part[x] = (((x + 0.5) + moved) + offset - 0.5) - (left + x)
            uneven += (part[x] < 0) | (part[x] >= 1)
        if uneven:
            return False
        begin, end = 0, width
        while begin < width and ((begin + 0.5) + moved) + offset < 0:
            begin += 1
        while end > begin and ((end - 0.5) + moved) + offset >= width:
            end -= 1
        # Between these, all four neighbours are there.
        first = min(max(begin, 1 - left), end)
        last = max(min(end, width - 2 - left), first)
        for plane in range(count):
            source, line = planes[plane, row], out[plane, row]
            _fill(line, begin, end, fill[plane])
            for x in range(begin, first):
                line[x] = _at_border(source, left + x, part[x], is_cubic)
            for x in range(last, end):
                line[x] = _at_border(source, left + x, part[x], is_cubic)
            if first < last:
                _between(source, left + first, part[first:last], is_cubic, line[first:last])
    return True
