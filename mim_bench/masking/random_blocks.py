"""BEiT's mask: rectangles of patches, drawn until enough patches are hidden or none fits."""

import math
from collections.abc import Callable, Sequence

import numpy as np

BLOCK_TRIES = 10
_LOG_ASPECT = math.log(0.3)  # of the least ratio of a block's sides; the greatest is its reciprocal
_DRAWS = 256  # in one call; a mask takes 20 to 120


def random_block_mask(
    grid: tuple[int, int],
    max_hidden: int,
    rng: np.random.Generator,
    *,
    min_block: int = 16,
    hide: Callable | None = None,
) -> np.ndarray:
    """Hide rectangles that may overlap, at most ``max_hidden`` patches in all.

    Args:
        grid: Patch grid as (rows, cols).
        max_hidden: Bound of the hidden patches. A block that would exceed it is drawn again;
            after ten such draws in a row the mask stays as it is, so a little less is hidden
            in some images.
        rng: Same state, same mask.
        min_block: Area of the smallest block in patches, while that many may still be hidden;
            the largest has all that are left.
        hide: :func:`hide_blocks`, or what it was compiled to.

    Returns:
        Boolean array (rows, cols). True = hidden.

    Source: BEiT, arXiv:2106.08254; microsoft/unilm@768a3c8, beit/masking_generator.py.
    """
    mask = np.zeros(grid, dtype=bool)
    draws = rng.random(_DRAWS)
    if hide is None:
        hide, draws = hide_blocks, draws.tolist()
    hide(mask, max_hidden, draws, min_block)
    return mask


def hide_blocks(
    mask: np.ndarray,
    max_hidden: int,
    draws: Sequence[float],
    min_block: int,
) -> None:
    """Draw :func:`random_block_mask` into an empty mask; loaders compile this with numba.

    Args:
        mask: Bool (rows, cols), overwritten.
        max_hidden: See there.
        draws: Uniform numbers from 0 to 1, four a block; begun anew where they do not suffice.
        min_block: See there.
    """
    rows, cols = mask.shape
    left_over, failures, used = max_hidden, 0, 0
    while left_over > 0 and failures < BLOCK_TRIES:
        failures += 1
        used = (used + 4) % len(draws)
        # Near the end the bounds change places, as in the official code.
        area = min_block + (left_over - min_block) * draws[used]
        aspect = math.exp(_LOG_ASPECT * (1 - 2 * draws[used + 1]))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if height >= rows or width >= cols:
            continue
        top = int(draws[used + 2] * (rows - height + 1))
        left = int(draws[used + 3] * (cols - width + 1))
        block = mask[top : top + height, left : left + width]
        num_new = block.size - np.count_nonzero(block)
        if 0 < num_new <= left_over:
            block[:] = True
            left_over -= num_new
            failures = 0
