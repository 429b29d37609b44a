"""The transform of BEiT's block-wise masking."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mim_bench.masking.random_blocks import random_block_mask
from mim_bench.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomBlockMask(BaseTransform):
    """Draw BEiT's mask for one image.

    Adds ``mask``, a bool tensor (rows, cols) over the patches, True = hidden; not the same
    number of True in every image. mmpretrain's ``BEiTMaskGenerator`` goes on until exactly
    ``max_hidden`` are hidden, and never reaches the last row and column.

    Args:
        grid: Patches as (rows, cols).
        max_hidden: See :func:`mim_bench.masking.random_blocks.random_block_mask`.
        min_block: See there.
    """

    def __init__(self, grid: tuple[int, int], *, max_hidden: int, min_block: int = 16) -> None:
        self.grid = tuple(grid)
        self.max_hidden = max_hidden
        self.min_block = min_block

    def transform(self, results: dict) -> dict:
        """Add ``mask``, drawn from numpy's global generator."""
        # The loader seeds the global generator for each sample.
        words = np.random.randint(0, 2**31, size=4).astype(np.uint32)  # whose type is read fastest
        rng = np.random.default_rng(words)
        mask = random_block_mask(self.grid, self.max_hidden, rng, min_block=self.min_block)
        results['mask'] = torch.from_numpy(mask)
        return results
