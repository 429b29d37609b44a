"""Registered transforms that draw the masks of an image; thin over :mod:`mim_bench.masking`.

Each adds bool tensors (rows, cols) over the patches, True = hidden, with the same number of True in
every image if nothing else is said. Pack them with ``PackInputs(algorithm_keys=['mask'])``.
"""

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mim_bench.errors import ConfigError
from mim_bench.masking.block_cells import block_cell_mask
from mim_bench.masking.checkerboard import checkerboard_mask
from mim_bench.masking.random_blocks import random_block_mask
from mim_bench.masking.random_patches import random_patch_mask
from mim_bench.masking.uniform import secondary_mask, uniform_mask
from mim_bench.masking.units import unit_mask
from mim_bench.registry import TRANSFORMS

PARITIES = ('fixed', 'random')


def _generator() -> np.random.Generator:
    """NumPy's global generator, which the loader seeds for each sample, with today's methods."""
    return np.random.Generator(np.random.get_bit_generator())


def _quotient(owner: Any, part_name: str, part: int, **whole: int) -> int:
    ((name, size),) = whole.items()
    if part < 1 or size < part or size % part:
        raise ConfigError(
            f'{type(owner).__name__}: {name} {size} must be a multiple of {part_name} {part}. '
            'Change one of them.'
        )
    return size // part


@TRANSFORMS.register_module()
class RandomPatchMask(BaseTransform):
    """Draws ``mask`` at random.

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
        size = (input_size,) * 2 if isinstance(input_size, int) else input_size
        sides = (_quotient(self, 'patch_size', patch_size, input_size=side) for side in size)
        self.grid = tuple(sides)
        self.mask_ratio = mask_ratio

    def transform(self, results: dict) -> dict:
        """Add ``mask``."""
        mask = random_patch_mask(self.grid, self.mask_ratio, _generator())
        return results | {'mask': torch.from_numpy(mask)}


@TRANSFORMS.register_module()
class RandomBlockMask(BaseTransform):
    """Draws BEiT's ``mask``, not the same number of True in every image.

    mmpretrain's ``BEiTMaskGenerator`` goes on until exactly ``max_hidden`` are hidden, and never
    reaches the last row and column.

    Args:
        grid: Patches as (rows, cols).
        max_hidden: See :func:`mim_bench.masking.random_blocks.random_block_mask`.
        min_block: See there.

    Attributes:
        hide: Passed on, where it was compiled.
    """

    def __init__(self, grid: tuple[int, int], *, max_hidden: int, min_block: int = 16) -> None:
        self.hide = None
        self.grid = tuple(grid)
        self.max_hidden = max_hidden
        self.min_block = min_block

    def transform(self, results: dict) -> dict:
        """Add ``mask``."""
        how = dict(min_block=self.min_block, hide=self.hide)
        mask = random_block_mask(self.grid, self.max_hidden, _generator(), **how)
        return results | {'mask': torch.from_numpy(mask)}


@TRANSFORMS.register_module()
class BlockCellMask(BaseTransform):
    """Draws ``mask`` in square cells.

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
        _quotient(self, 'cell_size', cell_size, input_size=input_size)
        self.cell = _quotient(self, 'patch_size', patch_size, cell_size=cell_size)
        self.grid = (input_size // patch_size,) * 2
        self.mask_ratio = mask_ratio

    def transform(self, results: dict) -> dict:
        """Add ``mask``."""
        mask = block_cell_mask(self.grid, self.cell, self.mask_ratio, _generator())
        return results | {'mask': torch.from_numpy(mask)}


@TRANSFORMS.register_module()
class UnitMask(BaseTransform):
    """Draws LocalMIM's ``mask`` of Swin, over units.

    The first sample's mask holds for its whole batch on a device, because the images share the
    packing of their windows, which ``collate_masks`` plans.

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
        self.grid = (_quotient(self, 'unit_size', unit_size, input_size=input_size),) * 2
        self.mask_ratio = mask_ratio

    def transform(self, results: dict) -> dict:
        """Add ``mask``."""
        mask = unit_mask(self.grid, self.mask_ratio, _generator())
        return results | {'mask': torch.from_numpy(mask)}


@TRANSFORMS.register_module()
class UniformMask(BaseTransform):
    """Draws the masks of UM-MAE over the grid of mask patches.

    - ``mask``: True = not sampled; the decoder predicts these patches.
    - ``hidden``: True = not seen by the encoder as image content: not sampled, or
      sampled and replaced by the secondary mask token. A superset of ``mask``.

    Args:
        input_size: Side of the (square) training image in pixels.
        mask_patch_size: Side of a mask patch in pixels.
        secondary_ratio: Share of the sampled patches that the encoder does not see; 0 is
            without secondary masking, and there is no ``hidden``.

    Raises:
        ConfigError: ``input_size`` is not a multiple of ``mask_patch_size``.
    """

    def __init__(
        self, input_size: int, mask_patch_size: int = 16, secondary_ratio: float = 0.25
    ) -> None:
        side = _quotient(self, 'mask_patch_size', mask_patch_size, input_size=input_size)
        self.grid = (side,) * 2
        self.secondary_ratio = secondary_ratio

    def transform(self, results: dict) -> dict:
        """Add ``mask`` and ``hidden``."""
        generator = _generator()
        mask = uniform_mask(self.grid, generator)
        results = results | {'mask': torch.from_numpy(mask)}
        if self.secondary_ratio:
            hidden = secondary_mask(mask, self.secondary_ratio, generator)
            results['hidden'] = torch.from_numpy(hidden)
        return results


@TRANSFORMS.register_module()
class CheckerboardMasks(BaseTransform):
    """Draws SymMIM's fine and coarse checkerboards over the grid of ``patch_size``.

    - ``mask``: of the online network; the small cells.
    - ``momentum_mask``: of the momentum network; the large cells.

    Args:
        input_size: Side of the (square) training image in pixels.
        patch_size: Side in pixels of what one entry of the masks stands for: the patch of a
            ViT (16), the token of a Swin's first stage (4).
        small_cell: Side of the small cells in pixels.
        large_cell: Side of the large cells in pixels. For pyramid backbones both are
            multiples of the total stride (Swin: 32 and 64), so that a token of the last
            stage is hidden as a whole.
        anchor: Where both masks begin, 'corner' or 'center'; see :func:`checkerboard_mask`.
        parity: 'fixed' hides the same cells in every image; 'random' draws for each image
            and mask which of the two colours of the board is hidden.
        swap: Give the large cells to the online network and the small to the momentum one.

    Raises:
        ConfigError: The sizes do not divide each other, a word is unknown, or a random
            parity would change how much a mask hides.

    Source: SymMIM, arXiv:2408.12772. SPECIFIED-2ND (third-party summaries; the paper's body was
    not read): the two formulas, 16 and 32 px, small to online and large to momentum, fixed.
    INFERRED: 'center', 'random', ``swap``, and the rule for pyramid backbones, which is
    SimMIM's (microsoft/SimMIM@d3e29bc: 32 px mask patches for Swin).
    """

    def __init__(
        self,
        input_size: int,
        *,
        patch_size: int = 16,
        small_cell: int = 16,
        large_cell: int = 32,
        anchor: str = 'corner',
        parity: str = 'fixed',
        swap: bool = False,
    ) -> None:
        if parity not in PARITIES:
            raise ConfigError(f'CheckerboardMasks: parity {parity!r} must be one of {PARITIES}.')
        self.random_parity = parity == 'random'
        grid = (_quotient(self, 'patch_size', patch_size, input_size=input_size),) * 2
        self._masks = []  # by mask, then by parity
        for cell in (dict(small_cell=small_cell), dict(large_cell=large_cell)):
            ((name, size),) = cell.items()
            patches = _quotient(self, 'patch_size', patch_size, **cell)
            if anchor == 'corner':
                _quotient(self, name, size, input_size=input_size)
            masks = [checkerboard_mask(grid, patches, anchor=anchor, parity=p) for p in (0, 1)]
            self._masks.append([torch.from_numpy(mask) for mask in masks])
        if swap:
            self._masks.reverse()
        for owner, masks in zip(('online', 'momentum'), self._masks, strict=True):
            counts = [int(mask.sum()) for mask in masks]
            if self.random_parity and counts[0] != counts[1]:
                raise ConfigError(
                    f"CheckerboardMasks: with parity='random' the mask of the {owner} network "
                    f'hides {counts[0]} or {counts[1]} patches, but samples of a batch must hide '
                    "the same number. Use anchor='center' or parity='fixed'."
                )

    def transform(self, results: dict) -> dict:
        """Add both masks; a fixed parity draws nothing."""
        parities = _generator().integers(0, 2, size=2) if self.random_parity else (0, 0)
        drawn = [masks[parity].clone() for masks, parity in zip(self._masks, parities, strict=True)]
        return results | dict(zip(('mask', 'momentum_mask'), drawn, strict=True))
