"""The transform of unit masking."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mim_bench.errors import ConfigError
from mim_bench.masking.units import unit_mask
from mim_bench.registry import TRANSFORMS


@TRANSFORMS.register_module()
class UnitMask(BaseTransform):
    """Draw LocalMIM's Swin mask for one image.

    Adds ``mask``, a bool tensor (rows, cols) over the units, True = hidden. Pack it with
    ``PackInputs(algorithm_keys=['mask'])``. The first sample's mask holds for its whole batch on
    a device, because the images share the packing of their windows, which ``collate_masks``
    plans.

    Args:
        input_size: Side of the (square) training image in pixels.
        unit_size: Side of a unit in pixels: what a token of the last stage stands for.
        mask_ratio: Share of the units to hide; see :func:`mim_bench.masking.units.unit_mask`.

    Raises:
        ConfigError: ``input_size`` is not a multiple of ``unit_size``.

    Source: LocalMIM, arXiv:2303.05251. Differs: drawn in the data pipeline, the official
    code draws one mask for the micro-batch inside the model.
    """

    def __init__(self, input_size: int, unit_size: int = 32, mask_ratio: float = 0.75) -> None:
        if input_size % unit_size:
            raise ConfigError(
                f'UnitMask: input_size {input_size} is not a multiple of unit_size {unit_size}.'
            )
        self.grid = (input_size // unit_size,) * 2
        self.mask_ratio = mask_ratio

    def transform(self, results: dict) -> dict:
        """Add ``mask``, drawn from numpy's global generator."""
        # The loader seeds the global generator for each sample.
        rng = np.random.default_rng(np.random.randint(0, 2**31, size=4))
        results['mask'] = torch.from_numpy(unit_mask(self.grid, self.mask_ratio, rng))
        return results
