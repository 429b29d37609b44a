"""The transform of random masking."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mim_bench.errors import ConfigError
from mim_bench.masking.random_patches import random_patch_mask
from mim_bench.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomPatchMask(BaseTransform):
    """Draw a random mask for one image.

    Added key: ``mask``, a bool tensor (rows, cols) over the patches, True = hidden; the
    same number of True in every image. Pack it with ``PackInputs(algorithm_keys=['mask'])``.

    Args:
        input_size: Training image in pixels: its side, or (height, width).
        patch_size: Side of a patch in pixels.
        mask_ratio: Share of the patches to hide.

    Raises:
        ConfigError: The image is no whole number of patches.
    """

    def __init__(
        self,
        input_size: int | tuple[int, int],
        patch_size: int = 16,
        mask_ratio: float = 0.75,
    ) -> None:
        size = (input_size, input_size) if isinstance(input_size, int) else tuple(input_size)
        if any(side % patch_size for side in size):
            raise ConfigError(
                f'RandomPatchMask: input_size {input_size} is not a multiple of patch_size '
                f'{patch_size}.'
            )
        self.grid = (size[0] // patch_size, size[1] // patch_size)
        self.mask_ratio = mask_ratio

    def transform(self, results: dict) -> dict:
        """Add ``mask``, drawn from numpy's global generator."""
        # The loader seeds the global generator for each sample.
        rng = np.random.default_rng(np.random.randint(0, 2**31, size=4))
        results['mask'] = torch.from_numpy(random_patch_mask(self.grid, self.mask_ratio, rng))
        return results
