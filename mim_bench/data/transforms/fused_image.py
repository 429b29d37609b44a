"""The first steps of a training pipeline, from the file to the cropped image, as one transform."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torchvision.transforms as tv
from mmcv.transforms import BaseTransform, RandomFlip
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmpretrain.datasets.transforms import NumpyToPIL, PILToNumpy, RandomResizedCrop

from mim_bench.data.transforms import uint8_ops
from mim_bench.data.transforms.augmentation import PIXELS, RandAugment, TwoSizeCrop
from mim_bench.data.transforms.uint8_resize import resize
from mim_bench.errors import ConfigError
from mim_bench.registry import TRANSFORMS

_Op = tuple[str, float]


@TRANSFORMS.register_module()
class FusedImage(BaseTransform):
    """Reads an image, and jitters, crops, flips and augments it with the draws of a recipe.

    The steps are a recipe's own, and each draws what it draws by itself, from the same generators
    in the same order. What they do to pixels is done at once: jitter touches the crop alone where
    its arithmetic permits, the crop is resized as uint8 by torch, a flip moves the small image.

    ``img`` is a view whose memory is (3, height, width), which packing need not turn.

    Args:
        steps: Configs of a loading transform and of those in ``_KINDS``, in the recipe's order.
            The crops resize with Pillow there.
        pixels: 'pillow' runs the steps as they are, bit for bit. 'torch' is within one grey level
            of each resize and operation.

    Raises:
        ConfigError: ``pixels`` has another value, or a step cannot be fused.
    """

    def __init__(self, steps: Sequence[dict], pixels: str = 'torch') -> None:
        if pixels not in PIXELS:
            raise ConfigError(f'FusedImage: pixels is {pixels!r}. Known: {", ".join(PIXELS)}.')
        self.pixels = pixels
        self.load, *self.steps = [ROOT_TRANSFORMS.build(step) for step in steps]
        kinds = [_kind(step) for step in self.steps]
        if pixels == 'torch' and (None in kinds or not _in_order(kinds)):
            names = ', '.join(type(step).__name__ for step in self.steps)
            raise ConfigError(f"FusedImage: {names} cannot be fused. Use pixels='pillow'.")

    def transform(self, results: dict) -> dict | None:
        """Set ``img`` (a list for two sizes), ``img_shape`` and ``flip``; reads no second time."""
        if 'img' not in results:
            results = self.load(results)
            if results is None:
                return None
        if self.pixels == 'pillow':
            for step in self.steps:
                results = step(results)
            return results
        work = _Work(results['img'])
        for step in self.steps:
            _KINDS[_kind(step)](work, step)
        images = [_channels_first(image) for image in work.finish()]
        results['img'] = images if work.is_pair else images[0]
        results['img_shape'] = images[0].shape
        results['flip'] = work.is_flipped
        results['flip_direction'] = 'horizontal' if work.is_flipped else None
        return results


class _Work:
    """What is drawn for an image, and its pixels as far as they are made."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.jitter: list[_Op] = []
        self.box: tuple[int, int, int, int] | None = None
        self.sizes: list[tuple[tuple[int, int], str]] = []
        self.is_flipped = False
        self.augment: RandAugment | None = None
        self.is_pair = False

    def draw_jitter(self, step: Any) -> None:
        jitter = step.t
        order, *factors = jitter.get_params(
            jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue
        )
        named = dict(enumerate(zip(_JITTER, factors, strict=False)))
        ops = [named[int(number)] for number in order if int(number) in named]
        self.jitter += [(name, factor) for name, factor in ops if factor is not None]

    def draw_flip(self, step: RandomFlip) -> None:
        self.is_flipped = step._choose_direction() is not None

    def draw_crop(self, step: RandomResizedCrop) -> None:
        top, left, height, width = step.rand_crop_params(self.image)
        if self.is_flipped:  # drawn for the mirrored image, cut out of this one
            left = self.image.shape[1] - left - width
        self.box = (top, left, height, width)
        self.sizes = [(tuple(step.scale), step.interpolation)]
        if isinstance(step, TwoSizeCrop):
            self.is_pair = True
            self.sizes = [
                (tuple(step.scale), step.interpolation),
                (tuple(step.second_scale), step.second_interpolation),
            ]

    def keep_augment(self, step: RandAugment) -> None:
        self.augment = step

    def finish(self) -> list[np.ndarray]:
        """The images, (height, width, 3)."""
        image, mean = self.image, None
        is_whole = True
        means = [i for i, (name, _) in enumerate(self.jitter) if name == 'contrast']
        for number, (name, factor) in enumerate(self.jitter):
            if name == 'contrast':  # blends with the mean of the whole image
                mean = uint8_ops.mean_grey(image)
            if is_whole and number >= (means[-1] if means else 0):
                image, is_whole = self._cut(image), False
            more = (mean,) if name == 'contrast' else ()
            image = _JITTER[name](image, factor, *more)
        image = self._cut(image) if is_whole else image
        images = [resize(image, *size) for size in self.sizes] or [image]
        if self.is_flipped:
            images = [cv2.flip(each, 1) for each in images]
        if self.augment is not None:
            images = [self.augment.augment(each) for each in images]
        return images

    def _cut(self, image: np.ndarray) -> np.ndarray:
        if self.box is None:
            return image
        top, left, height, width = self.box
        return image[top : top + height, left : left + width]


# torchvision's numbers of the operations are their places here; hue is not fused.
_JITTER = {
    'brightness': uint8_ops.adjust_brightness,
    'contrast': uint8_ops.adjust_contrast,
    'saturation': uint8_ops.adjust_color,
}
_KINDS: dict[str, Callable[[_Work, Any], None]] = {
    'same pixels': lambda work, step: None,
    'jitter': _Work.draw_jitter,
    'flip': _Work.draw_flip,
    'crop': _Work.draw_crop,
    'augment': _Work.keep_augment,
}


_ORDER = {'jitter': 0, 'flip': 1, 'crop': 1, 'augment': 2}


def _kind(step: Any) -> str | None:
    """What is fused of a step; None if nothing is."""
    if isinstance(step, NumpyToPIL | PILToNumpy):
        return 'same pixels'
    jitter = getattr(step, 't', None)
    if isinstance(jitter, tv.ColorJitter):
        return None if jitter.hue else 'jitter'
    if isinstance(step, RandomFlip):
        return 'flip' if step.direction == 'horizontal' else None
    if isinstance(step, RandomResizedCrop):
        return 'crop' if step.backend == 'pillow' else None
    if isinstance(step, RandAugment):
        return 'augment'
    return None


def _in_order(kinds: Sequence[str]) -> bool:
    """Whether the jitter sees the whole image, and RandAugment the finished one."""
    changes = [kind for kind in kinds if kind != 'same pixels']
    places = [_ORDER[kind] for kind in changes]
    return places == sorted(places) and all(changes.count(kind) < 2 for kind in changes)


def _channels_first(image: np.ndarray) -> np.ndarray:
    """The same pixels, laid out by channel in memory."""
    planes = np.empty((3, *image.shape[:2]), np.uint8)
    cv2.split(image, list(planes))
    return planes.transpose(1, 2, 0)
