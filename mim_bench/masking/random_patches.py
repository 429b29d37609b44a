"""Random masking: patches hidden independently of each other, the same number in every image."""

import numpy as np

from mim_bench.errors import ConfigError


def random_patch_mask(
    grid: tuple[int, int], mask_ratio: float, rng: np.random.Generator
) -> np.ndarray:
    """Hide patches at random.

    Args:
        grid: Patch grid as (rows, cols).
        mask_ratio: Share to hide, in [0, 1).
        rng: Same state, same mask.

    Returns:
        Boolean array (rows, cols). True = hidden. ``int(patches * (1 - mask_ratio))``
        patches stay visible (49 of 196 at ratio 0.75), every such set equally likely.

    Raises:
        ConfigError: ``mask_ratio`` is outside [0, 1), or leaves no patch visible.

    Source: MAE, arXiv:2111.06377, section 3; official ``random_masking``.
    """
    rows, cols = grid
    num_patches = rows * cols
    num_visible = int(num_patches * (1 - mask_ratio)) if 0 <= mask_ratio < 1 else 0
    if num_visible < 1:
        raise ConfigError(
            f'random_patch_mask: mask_ratio {mask_ratio} leaves no patch of {rows}x{cols} '
            'visible. Choose a ratio in [0, 1) that leaves at least one.'
        )
    mask = np.ones(num_patches, dtype=bool)
    mask[rng.permutation(num_patches)[:num_visible]] = False
    return mask.reshape(rows, cols)
