"""The transform of uniform masking."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mim_bench.masking.uniform import secondary_mask, uniform_mask
from mim_bench.registry import TRANSFORMS


@TRANSFORMS.register_module()
class UniformMask(BaseTransform):
    """Draw the masks of UM-MAE for one image.

    Added keys, both bool tensors (rows, cols) over the grid of mask patches:

    - ``mask``: True = not sampled; the decoder predicts these patches.
    - ``hidden``: True = not seen by the encoder as image content: not sampled, or
      sampled and replaced by the secondary mask token. A superset of ``mask``.

    Pack both with ``PackInputs(algorithm_keys=['mask', 'hidden'])``.

    Args:
        input_size: Side of the (square) training image in pixels.
        mask_patch_size: Side of a mask patch in pixels.
        secondary_ratio: Share of the sampled patches that the encoder does not see; 0 is
            without secondary masking, and there is no ``hidden``.
    """

    def __init__(
        self, input_size: int, mask_patch_size: int = 16, secondary_ratio: float = 0.25
    ) -> None:
        side = input_size // mask_patch_size
        self.grid = (side, side)
        self.secondary_ratio = secondary_ratio

    def transform(self, results: dict) -> dict:
        """Add ``mask`` and ``hidden``, drawn from numpy's global generator."""
        # The loader seeds the global generator for each sample.
        rng = np.random.default_rng(np.random.randint(0, 2**31, size=4))
        mask = uniform_mask(self.grid, rng)
        results['mask'] = torch.from_numpy(mask)
        if self.secondary_ratio:
            hidden = secondary_mask(mask, self.secondary_ratio, rng)
            results['hidden'] = torch.from_numpy(hidden)
        return results
