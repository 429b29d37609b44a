"""Draws masks, boxes and class names over images. Works on arrays; knows no library."""

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Images of one picture get the same width, and at most this height.
SHOWN_WIDTH_PX = 320
MAX_HEIGHT_PX = 480
# The share of the colour in the mixture with the image.
MAP_OPACITY = 0.6
MASK_OPACITY = 0.45
LINE_PX = 2
FONT_PX = 13
PAD_PX = 3
GOLDEN_RATIO = 0.618

Colour = tuple[int, int, int]
Size = tuple[int, int]


def class_colours(count: int, palette: Sequence[Sequence[int]] | None = None) -> list[Colour]:
    """A colour for each class: the palette's where it has one, else distinct hues."""
    own = [tuple(int(value) for value in colour) for colour in palette or []][:count]
    hues = (GOLDEN_RATIO * i % 1 for i in range(len(own), count))
    return own + [tuple(round(255 * v) for v in colorsys.hsv_to_rgb(h, 0.75, 0.95)) for h in hues]


def shown_size(size: Size) -> Size:
    """Height and width of an image in a picture; proportions are kept."""
    factor = min(SHOWN_WIDTH_PX / size[1], MAX_HEIGHT_PX / size[0])
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def show_image(image: np.ndarray) -> np.ndarray:
    """Resize a (height, width, 3) uint8 image to its size in a picture."""
    height, width = shown_size(image.shape[:2])
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized)


def show_map(image: np.ndarray, labels: np.ndarray, colours: Sequence[Colour]) -> np.ndarray:
    """Blend a map of classes over an image.

    Args:
        image: (height, width, 3) uint8.
        labels: (rows, cols) integers, of any size; labels without a colour are transparent.
        colours: Colours by class.
    """
    canvas = show_image(image).astype(np.float32)
    for label in np.unique(labels):
        if 0 <= label < len(colours):
            _blend(canvas, labels == label, colours[label], MAP_OPACITY)
    return canvas.round().astype(np.uint8)


def show_objects(
    image: np.ndarray,
    boxes: np.ndarray,
    texts: Sequence[str],
    colours: Sequence[Colour],
    masks: np.ndarray | None = None,
) -> np.ndarray:
    """Draw boxes with texts over masks.

    Args:
        image: (height, width, 3) uint8.
        boxes: (N, 4), left, top, right, bottom in pixels of ``image``.
        texts: N texts.
        colours: N colours.
        masks: (N, height, width) bool; None to draw none.
    """
    canvas = show_image(image).astype(np.float32)
    for mask, colour in zip(() if masks is None else masks, colours, strict=False):
        _blend(canvas, mask, colour, MASK_OPACITY)
    picture = Image.fromarray(canvas.round().astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    scale = np.array(picture.size * 2) / np.array([image.shape[1], image.shape[0]] * 2)
    corners = [[float(v) for v in box * scale] for box in np.asarray(boxes).reshape(-1, 4)]
    for box, colour in zip(corners, colours, strict=True):
        draw.rectangle(box, outline=colour, width=LINE_PX)
    # After all boxes, so that no line crosses a name.
    for box, text, colour in zip(corners, texts, colours, strict=True):
        _draw_text(draw, box, text, colour)
    return np.asarray(picture)


def _draw_text(draw: ImageDraw.ImageDraw, box: Sequence[float], text: str, colour: Colour) -> None:
    """Draw a text on a coloured label at the box's upper edge, inside the picture."""
    font = ImageFont.load_default(FONT_PX)
    left, _, right, _ = font.getbbox(text)
    _, top, _, bottom = font.getbbox('Ag')  # so that all labels have the same height
    width, height = right - left + 2 * PAD_PX, bottom - top + 2 * PAD_PX
    x = max(0, min(box[0], draw.im.size[0] - width))
    y = max(0, box[1] - height)
    draw.rectangle([x, y, x + width - 1, y + height - 1], fill=colour)
    # Rec. 601 luma: black on bright labels, white on dark ones.
    is_bright = np.dot(colour, (0.299, 0.587, 0.114)) > 140
    text_colour = (0, 0, 0) if is_bright else (255, 255, 255)
    draw.text((x + PAD_PX - left, y + PAD_PX - top), text, fill=text_colour, font=font)


def _blend(canvas: np.ndarray, mask: np.ndarray, colour: Colour, opacity: float) -> None:
    """Blend a colour into the canvas where a mask of any size is True, with smooth edges."""
    size = (canvas.shape[1], canvas.shape[0])
    resized = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
    weight = opacity / 255 * np.asarray(resized, np.float32)[..., None]
    canvas += weight * (np.array(colour, np.float32) - canvas)
