"""Laying out images of one or several sizes in a grid, for the pictures that runs leave."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mim_bench.results.atomic import write_atomically

GAP_PX = 2
MIN_TILE_PX = 96
WHITE = 255


def enlarge(image: np.ndarray, min_tile_px: int = MIN_TILE_PX) -> np.ndarray:
    """Repeat the pixels of a small image, so that they stay the sharp squares they are.

    Args:
        image: (height, width, 3) uint8.
        min_tile_px: The shorter side is enlarged by a whole factor to at least this.
    """
    factor = max(1, -(-min_tile_px // min(image.shape[:2])))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def picture_grid(columns: Sequence[Sequence[np.ndarray]]) -> Image.Image:
    """Lay out images in rows, with white gaps.

    Args:
        columns: One list of (height, width, 3) uint8 images a column; row i shows their i-th
            images. A row is as high as its highest image, a column as wide as the widest of all;
            smaller images stand in the middle.
    """
    rows = list(zip(*columns, strict=True))
    width = max(image.shape[1] for row in rows for image in row)
    heights = [max(image.shape[0] for image in row) for row in rows]
    shape = (sum(heights) + GAP_PX * (len(rows) - 1), (width + GAP_PX) * len(columns) - GAP_PX, 3)
    canvas = np.full(shape, WHITE, np.uint8)
    row_top = 0
    for row, row_height in zip(rows, heights, strict=True):
        for j, image in enumerate(row):
            top = row_top + (row_height - image.shape[0]) // 2
            left = j * (width + GAP_PX) + (width - image.shape[1]) // 2
            canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
        row_top += row_height + GAP_PX
    return Image.fromarray(canvas)


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a picture; the file is whole or absent.

    Raises:
        MimBenchError: The disk refuses.
    """
    buffer = io.BytesIO()
    picture.save(buffer, format='PNG')
    write_atomically({path: buffer.getvalue()})
