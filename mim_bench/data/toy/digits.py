"""Renders handwritten digits: 8x8 counts become smooth, anti-aliased strokes of any size."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image
from skimage.filters import gaussian
from skimage.transform import resize
from sklearn.datasets import load_digits

from mim_bench.data.toy.spec import Split

NAMES = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
NUM_DIGITS = len(NAMES)

# The split is part of the dataset's definition, so it does not follow the seed:
# train of one seed and val of another share no digit image either.
_SPLIT_SEED = 1797
_TRAIN_SHARE = 0.75

_PAD = 2  # cells of paper around the 8x8 grid, room for the spline's overshoot
_CELL = 8  # pixels that one cell gets in the height field
# Unsharp masking with the width of one cell opens the loops of 6, 8 and 9 again,
# which 8x8 sampling has nearly closed.
_SHARPEN = 1.5


@dataclass(frozen=True)
class Pose:
    """Size, rotation and shape of a digit.

    Attributes:
        height: Height of the upright ink in pixels.
        angle: Rotation in degrees, counter-clockwise.
        stretch: Width over the natural width.
        shear: Horizontal shift at the top, as a share of the height.
        level: Share of full ink at the stroke's edge; less is bolder.
    """

    height: float
    angle: float = 0.0
    stretch: float = 1.0
    shear: float = 0.0
    level: float = 0.5


@lru_cache(maxsize=1)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    bunch = load_digits()
    return bunch.images.astype(np.float32) / 16, bunch.target


@lru_cache(maxsize=2)
def digit_indices(split: Split) -> tuple[np.ndarray, ...]:
    """Indices into scikit-learn's digits that a split may use, one array a class."""
    _, labels = _digits()
    rng = np.random.default_rng(_SPLIT_SEED)
    chosen = []
    for digit in range(NUM_DIGITS):
        order = rng.permutation(np.flatnonzero(labels == digit))
        cut = round(_TRAIN_SHARE * len(order))
        chosen.append(np.sort(order[:cut] if split == 'train' else order[cut:]))
    return tuple(chosen)


@lru_cache(maxsize=2048)
def _height_field(index: int) -> np.ndarray:
    """Smooth surface over the paper whose level lines are the outlines of the strokes."""
    cells = np.pad(_digits()[0][index], _PAD)
    side = cells.shape[0] * _CELL
    smooth = resize(cells, (side, side), order=3, clip=False)
    return (smooth + _SHARPEN * (smooth - gaussian(smooth, _CELL))).astype(np.float32)


def ink(index: int, pose: Pose) -> np.ndarray:
    """Coverage of one of scikit-learn's digits in 0..1, float32, cropped to the ink."""
    surface = _height_field(index)
    rows = np.flatnonzero((surface > pose.level).any(axis=1))
    scale = pose.height / (rows[-1] - rows[0] + 1)  # output pixels per field pixel
    cosine, sine = np.cos(np.deg2rad(pose.angle)), np.sin(np.deg2rad(pose.angle))
    rotate = np.array([[cosine, sine], [-sine, cosine]])  # y points down
    shape = np.array([[pose.stretch, -pose.shear], [0.0, 1.0]])
    forward = scale * rotate @ shape
    centre = np.array([surface.shape[1], surface.shape[0]]) / 2
    corners = forward @ (np.array([[-1, 1, 1, -1], [-1, -1, 1, 1]]) * centre[:, None])
    width, height = np.ceil(np.ptp(corners, axis=1)).astype(int) + 2
    inverse = np.linalg.inv(forward)
    offset = centre - inverse @ (np.array([width, height]) / 2)
    coefficients = (*inverse[0], offset[0], *inverse[1], offset[1])
    warped = Image.fromarray(surface).transform(
        (width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
    )
    return _crop(_coverage(np.asarray(warped), pose.level))


def _coverage(surface: np.ndarray, level: float) -> np.ndarray:
    """Share of each pixel inside a level line, independent of the slope of the surface."""
    slope = np.hypot(*np.gradient(surface))
    distance = (surface - level) / np.maximum(slope, 1e-3)  # pixels, positive inside
    return np.clip(distance + 0.5, 0, 1).astype(np.float32)


def _crop(coverage: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(coverage.any(axis=1))
    columns = np.flatnonzero(coverage.any(axis=0))
    return coverage[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
