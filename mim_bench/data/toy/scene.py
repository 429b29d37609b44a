"""Renders digits on a photograph, with the owner of every pixel."""

import colorsys
from dataclasses import dataclass

import numpy as np
from skimage.filters import gaussian

from mim_bench.data.toy.digits import NUM_DIGITS, Pose, digit_indices, ink
from mim_bench.data.toy.photos import background
from mim_bench.data.toy.spec import Split

UNLABELLED = 255
PHOTOGRAPH = NUM_DIGITS  # labels 0..9 are the digits, 10 the background

MIN_CONTRAST = 0.3  # luminance of ink against what it lies on, in 0..1
_COLOURS_TRIED = 40
GROUND_CONTRAST = 0.2  # of the photograph's own
GROUND_BLUR = 1.0  # standard deviation in pixels
GROUND_BRIGHTNESS = (0.05, 0.55)  # mean of the ground, in 0..1
MAX_ANGLE = 10.0  # degrees; keeps 6 and 9 apart
_MIN_VISIBLE = 0.7  # share of its ink that every digit keeps when others cover it
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Digit:
    """A digit of a scene.

    Attributes:
        label: 0..9.
        visible: Visible share of this digit's ink in each pixel, float32
            (height, width) of the whole image, without what later digits cover.
    """

    label: int
    visible: np.ndarray


@dataclass(frozen=True)
class Scene:
    """An image and its digits.

    Attributes:
        image: RGB, uint8 (height, width, 3).
        digits: From the bottom of the pile to its top.
    """

    image: np.ndarray
    digits: tuple[Digit, ...]

    def label_map(self) -> np.ndarray:
        """Labels 0..9, ``PHOTOGRAPH``, and ``UNLABELLED`` on the rims, uint8 (height, width).

        A pixel belongs to a digit where half of it or more shows that digit's ink, and
        to the photograph where it has almost no ink.
        """
        covered = sum(digit.visible for digit in self.digits)
        labels = np.where(covered > 0.02, UNLABELLED, PHOTOGRAPH).astype(np.uint8)
        for digit in self.digits:
            labels[digit.visible >= 0.5] = digit.label
        return labels


def single_digit_scene(
    rng: np.random.Generator, split: Split, size: tuple[int, int], label: int
) -> Scene:
    """A scene of one large digit, for classification."""
    canvas = faint_ground(rng, split, size)
    height = rng.uniform(0.72, 0.88) * min(size)
    coverage = _fit(_draw_ink(rng, split, label, height), size, rng)
    canvas = _paint(rng, canvas, coverage)
    return Scene(_to_bytes(canvas), (Digit(label, coverage),))


def pile_scene(
    rng: np.random.Generator,
    split: Split,
    size: tuple[int, int],
    count: int,
    heights: tuple[float, float],
) -> Scene:
    """A scene of digits that may overlap partly; ``heights`` of upright ink in pixels."""
    canvas = faint_ground(rng, split, size)
    labels: list[int] = []
    inks: list[np.ndarray] = []
    for _ in range(count):
        label = int(rng.integers(NUM_DIGITS))
        coverage = _lay(rng, split, label, size, heights, inks)
        canvas = _paint(rng, canvas, coverage)
        labels.append(label)
        inks.append(coverage)
    shares = visible_shares(inks)
    digits = tuple(Digit(label, share) for label, share in zip(labels, shares, strict=True))
    return Scene(_to_bytes(canvas), digits)


def faint_ground(rng: np.random.Generator, split: Split, size: tuple[int, int]) -> np.ndarray:
    """A faint, slightly blurred photograph: RGB in 0..1, float32 (height, width, 3).

    Small networks that see a few thousand images in some minutes learn the strokes of the digits
    only so. The mean brightness is random: it tells nothing about the digit.
    """
    view = gaussian(background(rng, split, size), GROUND_BLUR, channel_axis=-1)
    mean = view.mean(axis=(0, 1))
    tint = mean / max(float(mean.mean()), 0.05) * rng.uniform(*GROUND_BRIGHTNESS)
    paper = (tint + tint.mean()) / 2  # half as colourful as the photograph
    return np.clip(paper + (view - mean) * GROUND_CONTRAST, 0, 1).astype(np.float32)


def visible_shares(inks: list[np.ndarray]) -> list[np.ndarray]:
    """The visible share of each layer when later layers cover earlier ones."""
    free = np.ones_like(inks[0])
    shares = []
    for coverage in reversed(inks):
        shares.append(coverage * free)
        free = free * (1 - coverage)
    return shares[::-1]


def _lay(
    rng: np.random.Generator,
    split: Split,
    label: int,
    size: tuple[int, int],
    heights: tuple[float, float],
    below: list[np.ndarray],
) -> np.ndarray:
    """Find a place for a further digit that leaves those below recognisable."""
    height = rng.uniform(*heights)
    while True:
        coverage = _fit(_draw_ink(rng, split, label, height), size, rng)
        shares = visible_shares([*below, coverage])
        if all(
            share.sum() >= _MIN_VISIBLE * whole.sum()
            for share, whole in zip(shares, below, strict=False)
        ):
            return coverage
        height *= 0.95  # smaller digits fit crowded scenes, so this always ends


def _draw_ink(rng: np.random.Generator, split: Split, label: int, height: float) -> np.ndarray:
    pose = Pose(
        height=height,
        angle=rng.uniform(-MAX_ANGLE, MAX_ANGLE),
        stretch=rng.uniform(0.85, 1.2),
        shear=rng.uniform(-0.1, 0.1),
        level=rng.uniform(0.42, 0.58),
    )
    return ink(int(rng.choice(digit_indices(split)[label])), pose)


def _fit(coverage: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Put ink at a random place of an empty canvas; larger ink is cut off."""
    canvas = np.zeros(size, dtype=np.float32)
    height, width = (min(a, b) for a, b in zip(coverage.shape, size, strict=True))
    top = rng.integers(size[0] - height + 1)
    left = rng.integers(size[1] - width + 1)
    canvas[top : top + height, left : left + width] = coverage[:height, :width]
    return canvas


def _paint(rng: np.random.Generator, canvas: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Paint one digit: a soft halo, then a contrasting colour."""
    spread = gaussian(coverage, 2.0)
    around = (canvas @ _LUMINANCE)[spread > 0.1][::4]  # a quarter of the pixels suffices
    colour = _ink_colour(rng, around)
    halo = spread[..., None] * rng.uniform(0.2, 0.5)
    away = 0.0 if colour @ _LUMINANCE > around.mean() else 1.0
    canvas = canvas * (1 - halo) + away * halo
    alpha = coverage[..., None]
    return canvas * (1 - alpha) + colour * alpha


def _ink_colour(rng: np.random.Generator, around: np.ndarray) -> np.ndarray:
    """A random light colour whose luminance differs from its background's.

    Nine in ten pixels ``around``, luminance in 0..1, should differ by ``MIN_CONTRAST``. Where no
    light colour does, as on another digit, the nearest to it is taken; the halo separates them.
    """
    low, high = (0, 0.1, 0.85), (1, 0.5, 1)  # hue, saturation, value
    draws = rng.uniform(low, high, size=(_COLOURS_TRIED, 3))
    colours = np.array([colorsys.hsv_to_rgb(*draw) for draw in draws], dtype=np.float32)
    differences = np.abs(around[None] - (colours @ _LUMINANCE)[:, None])
    contrasts = np.quantile(differences, 0.1, axis=1)
    # argmax gives the first that is good enough, else the best.
    good_enough = np.minimum(contrasts, MIN_CONTRAST)
    return colours[good_enough.argmax()]


def _to_bytes(canvas: np.ndarray) -> np.ndarray:
    return np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8)
