"""Lays out images in a grid and writes PNG files."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mim_bench.files.atomic import write_atomically

GAP_PX = 2
MIN_TILE_PX = 96
WHITE = 255
TITLE_PX = 12
TITLE_GREY = 40
LINE_HEIGHT = 1.25  # relative to the font size


def enlarge(image: np.ndarray, min_tile_px: int = MIN_TILE_PX) -> np.ndarray:
    """Enlarge a small image by repeating its pixels.

    Args:
        image: (height, width, 3) uint8.
        min_tile_px: The shorter side is enlarged by a whole factor to at least this.
    """
    factor = max(1, -(-min_tile_px // min(image.shape[:2])))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def picture_grid(
    columns: Sequence[Sequence[np.ndarray]], titles: Sequence[str] | None = None
) -> Image.Image:
    """Lay out images in rows with white gaps.

    Args:
        columns: One list of (height, width, 3) uint8 images a column; row i shows their i-th
            images. A row is as high as its highest image, a column as wide as the widest image;
            smaller images are centred.
        titles: A text above each column; long ones take several lines.
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
    if titles is not None:
        canvas = np.concatenate([_title_band(titles, width), canvas])
    return Image.fromarray(canvas)


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a picture atomically.

    Raises:
        MimBenchError: The file cannot be written.
    """
    buffer = io.BytesIO()
    picture.save(buffer, format='PNG')
    write_atomically({path: buffer.getvalue()})


def _title_band(titles: Sequence[str], width: int) -> np.ndarray:
    """A white band with a centred title above each column, aligned at the bottom."""
    font = ImageFont.load_default(TITLE_PX)
    wrapped = [_wrap(title, width, font) for title in titles]
    line_px = round(TITLE_PX * LINE_HEIGHT)
    num_lines = max(len(lines) for lines in wrapped)
    size = ((width + GAP_PX) * len(titles) - GAP_PX, num_lines * line_px + 2 * GAP_PX)
    band = Image.new('RGB', size, (WHITE,) * 3)
    draw = ImageDraw.Draw(band)
    for j, lines in enumerate(wrapped):
        middle = j * (width + GAP_PX) + width / 2
        for i, line in enumerate(lines, num_lines - len(lines)):
            place = (middle, GAP_PX + i * line_px)
            draw.text(place, line, fill=(TITLE_GREY,) * 3, font=font, anchor='ma')
    return np.asarray(band)


def _wrap(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """Wrap a text to a width in pixels; single words may be longer."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f'{lines[-1]} {word}') <= width:
            lines[-1] += f' {word}'
        else:
            lines.append(word)
    return lines
