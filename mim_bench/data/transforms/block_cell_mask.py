"""The transform of masking in cells."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mim_bench.errors import ConfigError
from mim_bench.masking.block_cells import block_cell_mask
from mim_bench.registry import TRANSFORMS


@TRANSFORMS.register_module()
class BlockCellMask(BaseTransform):
    """Draw a mask of square cells for one image.

    Added key: ``mask``, a bool tensor (rows, cols) over the patches, True = hidden; the
    same number of True in every image. Pack it with ``PackInputs(algorithm_keys=['mask'])``.

    Args:
        input_size: Side of the (square) training image in pixels.
        cell_size: Side of a cell in pixels.
        patch_size: Side of a patch in pixels; a cell is a whole number of patches.
        mask_ratio: Share of the cells to hide, rounded up.

    Raises:
        ConfigError: A size is not a multiple of the next smaller one.
    """

    def __init__(
        self, input_size: int, cell_size: int = 32, patch_size: int = 16, mask_ratio: float = 0.75
    ) -> None:
        if input_size % cell_size or cell_size % patch_size:
            raise ConfigError(
                f'BlockCellMask: input_size {input_size} must be a multiple of cell_size '
                f'{cell_size}, and that of patch_size {patch_size}.'
            )
        self.grid = (input_size // patch_size,) * 2
        self.cell = cell_size // patch_size
        self.mask_ratio = mask_ratio

    def transform(self, results: dict) -> dict:
        """Add ``mask``, drawn from numpy's global generator."""
        # The loader seeds the global generator for each sample.
        rng = np.random.default_rng(np.random.randint(0, 2**31, size=4))
        mask = block_cell_mask(self.grid, self.cell, self.mask_ratio, rng)
        results['mask'] = torch.from_numpy(mask)
        return results
