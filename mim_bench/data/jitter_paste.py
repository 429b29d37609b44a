"""Moving an object of a picture by a little: cut out, hole filled, pasted again. Pure arrays."""

from dataclasses import dataclass

import cv2
import numpy as np

# Pixels around the mask that belong to the object in part: softened when it is pasted.
BORDER = 1
# Of the neighbourhood that a hole is filled from, in pixels of the (reduced) image.
INPAINT_RADIUS = 3
# Holes of more pixels are filled at a reduced size: the time of inpainting grows with them, and
# all but their rim is covered again.
MAX_HOLE_PIXELS = 4000


@dataclass(frozen=True)
class Jitter:
    """How one object moves, about the centre of its box.

    Attributes:
        scale: Factor of its size.
        degrees: Counter-clockwise rotation.
        shift: (x, y) in pixels.
        is_mirrored: Left and right change places first.
    """

    scale: float = 1.0
    degrees: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    is_mirrored: bool = False


@dataclass(frozen=True)
class MovedObject:
    """An object at its new place.

    Attributes:
        corner: (x, y) of the patch in the image.
        pixels: (h, w, 3), the type of the image.
        alpha: (h, w) float32 in [0, 1]: share of the object in each pixel.
        mask: (h, w) bool: its pixels.
    """

    corner: tuple[int, int]
    pixels: np.ndarray
    alpha: np.ndarray
    mask: np.ndarray

    @property
    def region(self) -> tuple[slice, slice]:
        """Where the patch lies: rows, columns."""
        (x, y), (height, width) = self.corner, self.mask.shape
        return slice(y, y + height), slice(x, x + width)


def mask_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """(x1, y1, x2, y2) around the True pixels, ends excluded; None if there are none."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def move_object(image: np.ndarray, mask: np.ndarray, jitter: Jitter) -> MovedObject | None:
    """Cut an object out along its mask and draw it at its new place.

    Args:
        image: (H, W, 3).
        mask: (H, W) bool, with at least one True.
        jitter: How it moves.

    Returns:
        The part of it that lies in the image; None if nothing does.
    """
    box = mask_box(mask)
    if box is None:
        return None
    matrix = _affine(box, jitter)
    target = _target_box(box, matrix, mask.shape)
    if target is None:
        return None
    # Work on the object's surroundings only: matrices from crop to crop.
    x1, y1 = (max(0, box[i] - 2 * BORDER) for i in (0, 1))
    x2, y2 = box[2] + 2 * BORDER, box[3] + 2 * BORDER
    matrix[:, 2] += matrix[:, :2] @ (x1, y1) - target[:2]
    size = (target[2] - target[0], target[3] - target[1])
    share = mask[y1:y2, x1:x2].astype(np.float32)
    warped = cv2.warpAffine(share, matrix, size, flags=cv2.INTER_LINEAR)
    new_mask = warped >= 0.5
    if not new_mask.any():
        return None
    pixels = cv2.warpAffine(
        np.ascontiguousarray(image[y1:y2, x1:x2]),
        matrix,
        size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    alpha = cv2.blur(warped, (2 * BORDER + 1, 2 * BORDER + 1))
    return MovedObject(target[:2], pixels, alpha, new_mask)


def paste(image: np.ndarray, moved: MovedObject) -> None:
    """Draw an object over an image, in place, its border softened."""
    alpha = moved.alpha[..., None]
    below = image[moved.region]
    blended = alpha * moved.pixels + (1 - alpha) * below
    below[...] = np.rint(blended) if np.issubdtype(image.dtype, np.integer) else blended


def fill_hole(image: np.ndarray, hole: np.ndarray) -> None:
    """Replace pixels by what their surroundings suggest, in place.

    Args:
        image: (H, W, 3) uint8.
        hole: (H, W) bool: what to replace.
    """
    box = mask_box(hole)
    if box is None:
        return
    margin = 8 * INPAINT_RADIUS
    x1, y1 = (max(0, box[i] - margin) for i in (0, 1))
    region = slice(y1, box[3] + margin), slice(x1, box[2] + margin)
    crop, inside = np.ascontiguousarray(image[region]), hole[region]
    step = int(np.ceil(np.sqrt(inside.sum() / MAX_HOLE_PIXELS)))
    image[region][inside] = _inpaint(crop, inside, step)[inside]


def _inpaint(image: np.ndarray, hole: np.ndarray, step: int) -> np.ndarray:
    """The image with its hole filled, computed at 1/step of the size and enlarged again."""
    if step == 1:
        return cv2.inpaint(image, hole.astype(np.uint8), INPAINT_RADIUS, cv2.INPAINT_TELEA)
    height, width = hole.shape
    size = (-(-width // step), -(-height // step))
    # A small pixel counts as known if all that it stands for is known.
    small_hole = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    if small_hole.all():
        return image
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    filled = cv2.inpaint(small, small_hole.astype(np.uint8), INPAINT_RADIUS, cv2.INPAINT_TELEA)
    return cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)


def _affine(box: tuple[int, int, int, int], jitter: Jitter) -> np.ndarray:
    """(2, 3) matrix from old to new pixel coordinates."""
    # Of the centres of the outermost pixels, as the centre of a pixel is its coordinate.
    centre = ((box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, jitter.degrees, jitter.scale)
    if jitter.is_mirrored:
        matrix[:, 2] += 2 * centre[0] * matrix[:, 0]
        matrix[:, 0] *= -1
    matrix[:, 2] += jitter.shift
    return matrix


def _target_box(
    box: tuple[int, int, int, int], matrix: np.ndarray, shape: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """What surely holds the moved object, cut to the image; None if that is empty."""
    x1, y1, x2, y2 = box
    corners = np.array([(x, y, 1) for x in (x1 - 1, x2) for y in (y1 - 1, y2)])
    moved = corners @ matrix.T
    low = np.maximum(np.floor(moved.min(0)).astype(int) - BORDER, 0)
    high = np.minimum(np.ceil(moved.max(0)).astype(int) + 1 + BORDER, shape[::-1])
    if (low >= high).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
