"""Backgrounds: crops of the photographs that ship inside two wheels, split in regions."""

import importlib.resources
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from mim_bench.data.toy.spec import Split
from mim_bench.errors import DataError


@dataclass(frozen=True)
class Photograph:
    """A photograph: package, file and terms of use."""

    package: str
    file: str
    terms: str

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.file.rsplit('.', 1)[0]


_SKIMAGE = 'skimage.data'
_SKLEARN = 'sklearn.datasets.images'
# Only files inside the wheels: skimage.data's functions would download the others.
PHOTOGRAPHS = (
    Photograph(_SKIMAGE, 'astronaut.png', 'public domain, NASA'),
    Photograph(_SKIMAGE, 'chelsea.png', 'CC0, Stefan van der Walt'),
    Photograph(_SKIMAGE, 'coffee.png', 'CC0, Rachel Michetti'),
    Photograph(_SKIMAGE, 'rocket.jpg', 'public domain, SpaceX'),
    Photograph(_SKIMAGE, 'hubble_deep_field.jpg', 'public domain, NASA'),
    Photograph(_SKIMAGE, 'camera.png', 'CC0, Lav Varshney'),
    Photograph(_SKIMAGE, 'brick.png', 'CC0, CC0Textures Bricks25'),
    Photograph(_SKIMAGE, 'grass.png', 'CC0, linolafett'),
    Photograph(_SKIMAGE, 'gravel.png', 'CC0, CC0Textures Gravel04'),
    Photograph(_SKLEARN, 'china.jpg', 'CC BY 2.0, Daniel Buechele'),
    Photograph(_SKLEARN, 'flower.jpg', 'CC BY 2.0, vultilion'),
)

# Left of every photograph is for training, right of it for validation; the strip
# between belongs to neither, so neighbouring pixels are never in both.
_TRAIN_UNTIL = 0.68
_VAL_FROM = 0.71
_CROP_PIXELS = (90, 240)  # side of the source crop: near views and wide ones


@lru_cache(maxsize=len(PHOTOGRAPHS))
def _load(photograph: Photograph) -> Image.Image:
    try:
        path = importlib.resources.files(photograph.package) / photograph.file
        with path.open('rb') as file:
            return Image.open(file).convert('RGB')
    except (OSError, ModuleNotFoundError) as error:
        raise DataError(
            f'The photograph {photograph.file} is not in the installed package '
            f'{photograph.package.split(".")[0]} ({error}). Install the tested versions: '
            'pip install -c requirements/constraints.txt scikit-image scikit-learn'
        ) from error


def region(photograph: Photograph, split: Split) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the pixels that a split may use."""
    width, height = _load(photograph).size
    if split == 'train':
        return 0, 0, int(width * _TRAIN_UNTIL), height
    return int(np.ceil(width * _VAL_FROM)), 0, width, height


def draw_crop(
    rng: np.random.Generator, split: Split, aspect: float
) -> tuple[Photograph, tuple[int, int, int, int]]:
    """Choose a photograph, and in the split's part of it (left, top, right, bottom) in pixels.

    ``aspect`` is the width of the box over its height.
    """
    photograph = PHOTOGRAPHS[rng.integers(len(PHOTOGRAPHS))]
    left, top, right, bottom = region(photograph, split)
    tallest = min(bottom - top, (right - left) / aspect)
    height = rng.uniform(min(_CROP_PIXELS[0], tallest), min(_CROP_PIXELS[1], tallest))
    width = height * aspect
    x = int(left + rng.uniform(0, right - left - width))
    y = int(top + rng.uniform(0, bottom - top - height))
    return photograph, (x, y, x + int(width), y + int(height))


def background(rng: np.random.Generator, split: Split, size: tuple[int, int]) -> np.ndarray:
    """A varied view of a photograph: RGB in 0..1, float32 (height, width, 3)."""
    height, width = size
    photograph, box = draw_crop(rng, split, width / height)
    # Cropped before resizing: the filter must not reach into the other split's part.
    view = _load(photograph).crop(box).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(view, dtype=np.float32) / 255
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    gains = rng.uniform(0.8, 1.15) * rng.uniform(0.88, 1.12, size=3)
    return np.clip(pixels * gains, 0, 1).astype(np.float32)
