"""Augmentation as timm and the official repositories do it, where mmpretrain's differs."""

import math
import random
from typing import NamedTuple

import mmcv
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpretrain.datasets.transforms import RandomResizedCrop
from PIL import Image, ImageOps
from timm.data import auto_augment as timm_ops

from mim_bench.registry import TRANSFORMS

BOX_TRIES = 10


@TRANSFORMS.register_module()
class RandAugment(BaseTransform):
    """Applies timm's RandAugment to ``img`` (BGR, uint8).

    mmpretrain's has the same operations in OpenCV's arithmetic: at magnitude 9 its warps differ
    by 0.5 to 1.9 grey levels on average, colour and sharpness by up to 1 and 17 at a pixel.

    Args:
        policy: timm's description, as the official commands give it to ``--aa``.
        fill: R, G, B of what a warp leaves empty; timm's is the mean of the data set, rounded.
        interpolation: 'bicubic' or 'bilinear', of the warps.

    Source: timm 0.3.2 to 1.0, data/auto_augment.py and transforms_factory.py.
    """

    def __init__(
        self,
        policy: str = 'rand-m9-mstd0.5-inc1',
        *,
        fill: tuple[int, int, int] = (124, 116, 104),
        interpolation: str = 'bicubic',
    ) -> None:
        settings = dict(img_mean=tuple(fill), interpolation=Image.Resampling[interpolation.upper()])
        self.augment = timm_ops.rand_augment_transform(policy, settings)
        for operation in self.augment.ops:
            if operation.aug_fn is timm_ops.posterize:
                operation.aug_fn = _posterize

    def transform(self, results: dict) -> dict:
        """Change ``img``; draws from the global generators of Python and NumPy."""
        image = Image.fromarray(mmcv.bgr2rgb(results['img']))
        augmented = self.augment(image)
        if augmented is not image:  # each operation is left out half of the time
            results['img'] = mmcv.rgb2bgr(np.asarray(augmented))
        return results


def _posterize(image: Image.Image, bits: int, **_: object) -> Image.Image:
    """Keep the upper bits of each channel; 0 gives black, which Pillow 13 refuses."""
    return ImageOps.posterize(image, bits) if bits else Image.new(image.mode, image.size)


class ErasedBox(NamedTuple):
    """Noise that replaces a box of a normalised image.

    Attributes:
        top: First row.
        left: First column.
        noise: float32 tensor (3, height, width), R, G, B.
    """

    top: int
    left: int
    noise: torch.Tensor


@TRANSFORMS.register_module()
class RandomErasing(BaseTransform):
    """Draws a box of normal noise, which ``mim_bench.ClsDataPreprocessor`` puts in.

    timm erases after normalisation, so the noise is not clipped to what a pixel can be. Images
    are normalised in batches on the device here; the noise travels beside them, so that an
    image's is the same in any batch and on any device. Adds ``erased``, an :class:`ErasedBox`,
    to the images that are erased. Pack it with ``PackInputs(algorithm_keys=['erased'])``.

    Args:
        prob: Share of the images that are erased.
        area: Least and greatest area of the box, relative to the image.
        min_aspect: Least ratio of the sides; the greatest is its reciprocal.

    Source: timm 0.3.2 to 1.0, data/random_erasing.py, mode 'pixel', count 1; the same draws.
    """

    def __init__(
        self,
        prob: float = 0.25,
        *,
        area: tuple[float, float] = (0.02, 1 / 3),
        min_aspect: float = 0.3,
    ) -> None:
        self.prob = prob
        self.area = area
        self.log_aspect = (math.log(min_aspect), math.log(1 / min_aspect))

    def transform(self, results: dict) -> dict:
        """Add ``erased`` or nothing; draws from the global generators of Python and torch."""
        if random.random() > self.prob:
            return results
        image_height, image_width = results['img'].shape[:2]
        for _ in range(BOX_TRIES):
            area = random.uniform(*self.area) * image_height * image_width
            aspect = math.exp(random.uniform(*self.log_aspect))
            height = round(math.sqrt(area * aspect))
            width = round(math.sqrt(area / aspect))
            if height < image_height and width < image_width:
                top = random.randint(0, image_height - height)
                left = random.randint(0, image_width - width)
                results['erased'] = ErasedBox(top, left, torch.randn(3, height, width))
                break
        return results


@TRANSFORMS.register_module()
class SingleDrawCrop(RandomResizedCrop):
    """Crops to one draw of area and aspect; sides longer than the image's are cut to it.

    The usual crop draws up to ten times until a box fits.

    Source: facebookresearch/mae@efb2a80, util/crop.py (linear probe).
    """

    @cache_randomness
    def rand_crop_params(self, img: np.ndarray) -> tuple[int, int, int, int]:
        """Draw (top, left, height, width) from NumPy's global generator."""
        image_height, image_width = img.shape[:2]
        area = np.random.uniform(*self.crop_ratio_range) * image_height * image_width
        aspect = math.exp(np.random.uniform(*np.log(self.aspect_ratio_range)))
        height = min(round(math.sqrt(area / aspect)), image_height)
        width = min(round(math.sqrt(area * aspect)), image_width)
        top = np.random.randint(0, image_height - height + 1)
        left = np.random.randint(0, image_width - width + 1)
        return top, left, height, width


@TRANSFORMS.register_module()
class TwoSizeCrop(RandomResizedCrop):
    """Resizes one random crop to two sizes: for the network and for the tokenizer.

    ``img`` becomes a list of two images. mmpretrain's
    ``RandomResizedCropAndInterpolationWithTwoPic`` resizes with OpenCV, which does not smooth
    what it shrinks, and never takes the last row and column.

    Args:
        second_scale: Side of the second image in pixels.
        second_interpolation: Interpolation of the second image.
        **kwargs: Arguments of mmpretrain's ``RandomResizedCrop``.

    Source: microsoft/unilm@768a3c8, beit/transforms.py.
    """

    def __init__(
        self, *, second_scale: int, second_interpolation: str = 'lanczos', **kwargs: object
    ) -> None:
        super().__init__(backend='pillow', **kwargs)
        self.second_scale = (second_scale, second_scale)
        self.second_interpolation = second_interpolation

    def transform(self, results: dict) -> dict:
        """Change ``img`` and ``img_shape``; draws from NumPy's global generator."""
        top, left, height, width = self.rand_crop_params(results['img'])
        crop = results['img'][top : top + height, left : left + width]
        sizes = (
            (self.scale[::-1], self.interpolation),
            (self.second_scale, self.second_interpolation),
        )
        results['img'] = [
            mmcv.imresize(crop, size, interpolation=name, backend='pillow') for size, name in sizes
        ]
        results['img_shape'] = results['img'][0].shape
        return results
