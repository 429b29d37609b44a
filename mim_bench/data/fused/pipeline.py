"""Replaces the first steps of a built training pipeline by one transform with the same result."""

import ctypes
import logging
import math
import sys
from collections.abc import Callable, Sequence
from copy import copy, deepcopy
from functools import cache, partial
from inspect import getattr_static
from typing import Any

import cv2
import mmcv
import numpy as np
import PIL
import torch
import torchvision.transforms as tv
from mmcv.transforms import BaseTransform, LoadImageFromFile, RandomFlip
from mmengine.logging import print_log
from mmpretrain.datasets.transforms import NumpyToPIL, PackInputs, PILToNumpy, RandomResizedCrop
from mmpretrain.structures import DataSample
from PIL import Image
from timm.data import auto_augment as timm_ops

from mim_bench.data.fused import planes as fast
from mim_bench.data.fused.kernels import hide_blocks
from mim_bench.data.transforms.augmentation import RandAugment, TwoSizeCrop
from mim_bench.data.transforms.masks import RandomBlockMask
from mim_bench.masking.random_blocks import random_block_mask

_Op = tuple[int, float]


def fuse(transforms: Sequence[Callable]) -> list[Callable]:
    """A pipeline that does the same with its first steps as one, where they can be fused.

    They can from the loading on, while each step is a colour jitter without hue, a horizontal flip,
    a random crop resized by Pillow or a RandAugment, in the usual order.
    """
    end = 1
    kinds = [None, *map(_kind, transforms[1:])]
    while end < len(kinds) and kinds[end] is not None and _is_in_order(kinds[1 : end + 1]):
        end += 1
    used = kinds[1:end]
    if 'crop' not in used or not isinstance(transforms[0], LoadImageFromFile):
        return list(transforms)
    if not all(_is_equal(kind) for kind in used if kind in _CHECKS):
        return list(transforms)
    return [FusedLoading(transforms[0], transforms[1:end]), *map(_fast, transforms[end:])]


def _fast(step: Callable) -> Callable:
    """BEiT's mask with compiled loops, packing at once; another step is returned as it is."""
    if isinstance(step, RandomBlockMask) and _is_equal('mask'):
        step = copy(step)
        step.hide = hide_blocks
    return FastPacking(step) if type(step) is PackInputs else step


class FastPacking(BaseTransform):
    """What mmpretrain's ``PackInputs`` gives of an image whose only label is a number.

    That sets each field of a sample by a call of its own, which checks it.

    Args:
        step: The transform; it packs all else.
    """

    def __init__(self, step: PackInputs) -> None:
        self.step = step

    def transform(self, results: dict) -> dict:
        """Pack ``inputs`` and ``data_samples``."""
        label = results.get('gt_label')
        if type(label) is not int or 'gt_score' in results:
            return self.step(results)
        data = {'gt_label': torch.from_numpy(np.array([label]))}
        if 'mask' in results:
            data['mask'] = torch.as_tensor(results['mask'])
        data |= {key: results[key] for key in self.step.algorithm_keys if key in results}
        facts = {key: results[key] for key in self.step.meta_keys if key in results}
        sample = DataSample()
        vars(sample).update(data | facts)
        sample._data_fields.update(data)
        sample._metainfo_fields.update(facts)
        inputs = self.step.format_input(results[self.step.input_key])
        return dict(inputs=inputs, data_samples=sample)


class FusedLoading(BaseTransform):
    """Reads an image, and jitters, crops, flips and augments it as its steps do, byte for byte.

    Each step draws what it draws by itself, from the same generators in the same order. What they
    do to pixels is done at once: jitter touches the crop alone from the change of contrast on, and
    nothing is converted to Pillow's images and back.

    ``img`` is a view whose memory is (3, height, width), which packing need not turn.

    Args:
        load: The loading transform.
        steps: The steps that :func:`fuse` found.
    """

    def __init__(self, load: Callable, steps: Sequence[Callable]) -> None:
        self.load = load
        self.steps = list(steps)
        kinds = [_kind(step) for step in steps]
        self._flips = 'flip' in kinds
        self._actions = [
            (_ACTIONS[kind], _PREPARE.get(kind, lambda step: step)(step))
            for kind, step in zip(kinds, steps, strict=True)
            if kind in _ACTIONS
        ]

    def transform(self, results: dict) -> dict | None:
        """Set ``img`` (a list for two sizes), ``img_shape`` and ``flip``; reads no second time."""
        _keep_freed_memory()
        if 'img' not in results:
            results = self.load(results)
            if results is None:
                return None
        work = _Work(results['img'])
        for action, prepared in self._actions:
            action(work, prepared)
        images = [planes.transpose(1, 2, 0) for planes in work.finish()]
        results['img'] = images if work.is_pair else images[0]
        results['img_shape'] = images[0].shape
        if self._flips:
            results['flip'] = work.is_flipped
            results['flip_direction'] = 'horizontal' if work.is_flipped else None
        return results


# Of mallopt(3), and the greatest values that glibc takes or that a worker should hold, in bytes.
_TRIM_THRESHOLD, _KEPT_BYTES = -1, 256 << 20
_MMAP_THRESHOLD, _OWN_BYTES = -3, 32 << 20


@cache
def _keep_freed_memory() -> None:
    """Have glibc reuse the memory of a freed image for the next one.

    It would give it back to the kernel, which clears each page again: a fifth of the time of
    loading an image, in a virtual machine. Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None) if sys.platform == 'linux' else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _OWN_BYTES)


class _Work:
    """What is drawn for an image, and its pixels as far as they are made."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.jitter: list[_Op] = []
        self.box = (0, 0, *image.shape[:2])
        self.sizes: list[tuple[tuple[int, int], str]] = []
        self.is_flipped = False
        self.flips_source = False
        self.augment: Callable = lambda planes: planes
        self.is_pair = False

    def draw_jitter(self, ranges: dict[int, tuple[float, float]]) -> None:
        # As ColorJitter.get_params: the order, then a factor of each. Draws from one range are one
        # call, since each call of torch takes 0.02 ms here.
        order = torch.randperm(4).tolist()
        if len(set(ranges.values())) == 1:
            factors = torch.empty(len(ranges)).uniform_(*next(iter(ranges.values()))).tolist()
        else:
            factors = [float(torch.empty(1).uniform_(*r)) for r in ranges.values()]
        drawn = dict(zip(ranges, factors, strict=True))
        self.jitter = [(kind, drawn[kind]) for kind in order if kind in drawn]

    def draw_flip(self, step: RandomFlip) -> None:
        # As `np.random.choice` draws of two, without its checks, which take 0.1 ms.
        self.is_flipped = np.random.random_sample() < step.prob / (step.prob + (1 - step.prob))

    def draw_crop(self, prepared: tuple[RandomResizedCrop, Callable]) -> None:
        step, draw = prepared
        top, left, height, width = draw(self.image)
        if self.is_flipped:  # drawn for the mirrored image, cut out of this one
            left = self.image.shape[1] - left - width
            self.flips_source = True
        self.box = (top, left, height, width)
        self.sizes = [(tuple(step.scale), step.interpolation)]
        if isinstance(step, TwoSizeCrop):
            self.is_pair = True
            self.sizes.append((tuple(step.second_scale), step.second_interpolation))

    def keep_augment(self, augment: Callable[[np.ndarray], np.ndarray]) -> None:
        self.augment = augment

    def finish(self) -> list[np.ndarray]:
        """The images, (3, height, width)."""
        top, left, height, width = self.box
        if self.jitter:
            planes = fast.enhance(fast.split(self.image), self.jitter, self.box)
            columns = fast.columns_of_planes(planes)
        else:
            columns = fast.columns_of(self.image[top : top + height, left : left + width])
        if self.flips_source:
            columns = cv2.flip(columns, 0)
        how = dict(is_mirrored=self.is_flipped and not self.flips_source)
        return [self.augment(fast.resize(columns, *size, **how)) for size in self.sizes]


# torchvision's numbers of the operations are their places here; hue is not fused.
_JITTER = {'brightness': fast.BRIGHTNESS, 'contrast': fast.CONTRAST, 'saturation': fast.COLOR}
_ACTIONS: dict[str, Callable[[_Work, Any], None]] = {
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
        is_plain = step.direction == 'horizontal' and isinstance(step.prob, float)
        return 'flip' if is_plain else None
    if isinstance(step, RandomResizedCrop):
        return 'crop' if step.backend == 'pillow' else None
    if isinstance(step, RandAugment):
        return 'augment'
    return None


def _ranges(step: Any) -> dict[int, tuple[float, float]]:
    """The ranges of ColorJitter's factors by its numbers of the operations."""
    found = {kind: getattr(step.t, name) for name, kind in _JITTER.items()}
    return {kind: tuple(ends) for kind, ends in found.items() if ends is not None}


def _is_in_order(kinds: Sequence[str]) -> bool:
    """Whether the jitter sees the whole image, and RandAugment the finished one."""
    changes = [kind for kind in kinds if kind != 'same pixels']
    places = [_ORDER[kind] for kind in changes]
    return places == sorted(places) and all(changes.count(kind) < 2 for kind in changes)


# ---------------------------------------------------------------------------------- RandAugment


def _fast_augment(step: RandAugment) -> Callable:
    """RandAugment's draws with operations on planes."""
    augment = deepcopy(step.augment)
    for operation in augment.ops:
        pillow = partial(_through_pillow, operation.aug_fn)
        operation.aug_fn = _OPERATIONS.get(operation.name, pillow)
    augment.ops = np.array(augment.ops, object)  # drawn from as an array
    return augment


def _with_draw(step: RandomResizedCrop) -> tuple[RandomResizedCrop, Callable]:
    """The step and what draws its crop of an image."""
    draw = getattr_static(step, 'rand_crop_params')
    if draw is not getattr_static(RandomResizedCrop, 'rand_crop_params'):
        return step, partial(getattr(draw, 'func', draw), step)  # not mmcv's wrapper, which is slow
    central = copy(step)
    central.max_attempts = 0
    return step, partial(_draw_crop, step, central)


def _draw_crop(
    step: RandomResizedCrop, central: RandomResizedCrop, image: np.ndarray
) -> tuple[int, int, int, int]:
    """``rand_crop_params`` in fewer calls of NumPy: (top, left, height, width).

    Args:
        step: The transform.
        central: The same without attempts, for what it does after them.
        image: (height, width, 3).
    """
    rows, cols = image.shape[:2]
    (least, most), ratios = step.crop_ratio_range, step.aspect_ratio_range
    low, high = math.log(ratios[0]), math.log(ratios[1])
    for _ in range(step.max_attempts):
        first, second = np.random.random_sample(2).tolist()
        area = (least + (most - least) * first) * (rows * cols)
        ratio = math.exp(low + (high - low) * second)
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= cols and 0 < height <= rows:
            return _below(rows - height + 1), _below(cols - width + 1), height, width
    return central.rand_crop_params(image)


def _below(end: int) -> int:
    """``np.random.randint(end)``."""
    if end == 1:
        return 0
    draw, mask = np.random.get_bit_generator().random_raw, (1 << (end - 1).bit_length()) - 1
    while (number := draw() & mask) >= end:
        pass
    return number


_PREPARE = {'jitter': _ranges, 'crop': _with_draw, 'augment': _fast_augment}


def _through_pillow(operation: Callable, planes: np.ndarray, *args: Any, **settings: Any) -> Any:
    """One of timm's operations on planes, by Pillow."""
    picture = Image.fromarray(np.ascontiguousarray(planes[::-1].transpose(1, 2, 0)))
    return fast.split(mmcv.rgb2bgr(np.asarray(operation(picture, *args, **settings))))


def _shear(planes: np.ndarray, factor: float, *, axis: int, fillcolor: tuple, resample: int) -> Any:
    return fast.shift(planes, factor, 0, axis=axis, fill=fillcolor[::-1], resample=resample)


def _translate(
    planes: np.ndarray, share: float, *, axis: int, fillcolor: tuple, resample: int
) -> np.ndarray:
    offset = share * planes.shape[axis + 1]
    return fast.shift(planes, 0, offset, axis=axis, fill=fillcolor[::-1], resample=resample)


def _rotate(planes: np.ndarray, degrees: float, *, fillcolor: tuple, resample: int) -> np.ndarray:
    return fast.rotate(planes, degrees, fill=fillcolor[::-1], resample=resample)


def _plain(operation: Callable, planes: np.ndarray, *args: float, **_: object) -> np.ndarray:
    """An operation that leaves nothing empty."""
    return operation(planes, *args)


def _enhance(kind: int, planes: np.ndarray, factor: float, **_: object) -> np.ndarray:
    return fast.enhance(planes, [(kind, factor)])


# By timm's names; what timm adds to them ('Increasing') changes the draws alone.
_BY_NAME = {
    'AutoContrast': partial(_plain, fast.auto_contrast),
    'Equalize': partial(_plain, fast.equalize),
    'Invert': partial(_plain, fast.invert),
    'Posterize': partial(_plain, fast.posterize),
    'Solarize': partial(_plain, fast.solarize),
    'SolarizeAdd': partial(_plain, fast.solarize_add),
    'Color': partial(_enhance, fast.COLOR),
    'Contrast': partial(_enhance, fast.CONTRAST),
    'Brightness': partial(_enhance, fast.BRIGHTNESS),
    'Sharpness': partial(_plain, fast.adjust_sharpness),
    'Rotate': _rotate,
    'ShearX': partial(_shear, axis=1),
    'ShearY': partial(_shear, axis=0),
    'TranslateXRel': partial(_translate, axis=1),
    'TranslateYRel': partial(_translate, axis=0),
}
_OPERATIONS = {name + end: run for name, run in _BY_NAME.items() for end in ('', 'Increasing')}


# -------------------------------------------------------------------------------- the self-check


def _pillow_resize(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    return mmcv.imresize(image, size[::-1], interpolation=interpolation, backend='pillow')


def _crops() -> list[bool]:
    found, before = [], np.random.get_state()
    for size in ((70, 90), (20, 200), (9, 9)):
        step = RandomResizedCrop(32, crop_ratio_range=(0.3, 1.0))
        image = _made_up(*size)
        for seed in range(50):
            drawn = []
            for draw in (step.rand_crop_params, _with_draw(step)[1]):
                np.random.seed(seed)
                drawn.append((draw(image), np.random.random_sample()))
            found.append(drawn[0] == drawn[1])
    np.random.set_state(before)
    return found


def _resizes() -> list[bool]:
    found = []
    for image in (_made_up(70, 50), _made_up(50, 71)):
        columns = fast.columns_of(image)
        for size in ((40, 90), (90, 40), (20, 18)):
            for name in ('bilinear', 'bicubic', 'lanczos'):
                ours = fast.resize(columns, size, name).transpose(1, 2, 0)
                found.append(np.array_equal(ours, _pillow_resize(image, size, name)))
    return found


def _operations(names: Sequence[str]) -> list[bool]:
    planes, found = fast.split(_made_up(40, 41)), []
    for name in names:
        for resample in (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR):
            settings = dict(fillcolor=(9, 99, 199), resample=resample)
            wanted = _through_pillow(timm_ops.NAME_TO_OP[name], planes, _VALUES[name], **settings)
            ours = _OPERATIONS[name](planes, _VALUES[name], **settings)
            found.append(np.array_equal(ours, wanted))
    return found


def _masks() -> list[bool]:
    cases = (((14, 14), 75, 16), ((7, 9), 20, 4), ((24, 16), 200, 1))
    return [
        np.array_equal(*(
            random_block_mask(
                grid, count, np.random.default_rng(seed), min_block=least, hide=hide
            )
            for hide in (None, hide_blocks)
        ))
        for grid, count, least in cases
        for seed in range(20)
    ]  # fmt: skip


# Of the operations that compute with fractions.
_VALUES = dict(Brightness=0.7, Contrast=1.3, Color=1.4, Sharpness=0.3)
_VALUES.update(Rotate=17.3, ShearX=0.21, ShearY=-0.3)
_CHECKS: dict[str, Callable[[], list[bool]]] = {
    'crop': lambda: _resizes() + _crops(),
    'jitter': lambda: _operations(('Brightness', 'Contrast', 'Color')),
    'augment': lambda: _operations(tuple(_VALUES)),
    'mask': _masks,
}


@cache
def _is_equal(kind: str) -> bool:
    """Whether compiled loops give what Pillow, or NumPy, gives on made-up input; else a warning.

    Another release or another processor may round in another way. Compiles what workers inherit.
    """
    is_equal = all(_CHECKS[kind]())
    if not is_equal:
        print_log(
            f'Compiled loops compute another {kind} on this machine than Pillow {PIL.__version__} '
            f'and NumPy {np.__version__}. The plain steps are used; they are right and slower.',
            logger='current',
            level=logging.WARNING,
        )
    return is_equal


def prepare() -> None:
    """Compile everything and compare it with Pillow, for processes that are forked later."""
    for kind in _CHECKS:
        _is_equal(kind)


def _made_up(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    waves = 90 * np.sin(rows / 5) * np.cos(columns / 7) + (7 * rows + 13 * columns) % 31
    return np.stack([waves + 110, 140 - waves, waves + rows], -1).clip(0, 255).astype(np.uint8)
