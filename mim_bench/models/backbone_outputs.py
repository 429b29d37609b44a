"""Reading what an encoder returns, be it tokens or the maps of a pyramid. Pure functions."""

import torch

from mim_bench.errors import ConfigError


def pooled_and_patches(
    outputs: torch.Tensor | tuple, pooling: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """One vector an image, and the patch tokens.

    Args:
        outputs: Of a backbone: a tensor or a tuple whose last counts; a map (B, C, h, w), or
            tokens (B, 1 + L, C) with the class token first.
        pooling: 'cls' is the class token, 'gap' the mean over the patches.

    Returns:
        (B, C) and (B, L, C), the latter in raster order.

    Raises:
        ConfigError: 'cls' of a map.
    """
    last = outputs[-1] if isinstance(outputs, tuple | list) else outputs
    is_map = last.ndim == 4
    if is_map and pooling == 'cls':
        raise ConfigError("A pyramid's map has no class token. Set pooling='gap'.")
    patches = last.flatten(2).transpose(1, 2) if is_map else last[:, 1:]
    return last[:, 0] if pooling == 'cls' else patches.mean(1), patches


def mask_of_last_stage(mask: torch.Tensor, num_tokens: int) -> torch.Tensor:
    """A mask on the coarser grid of a pyramid's last stage.

    Args:
        mask: (B, rows, cols) bool.
        num_tokens: Of the last stage, whose grid is (rows / n, cols / n).

    Returns:
        (B, rows / n, cols / n) bool; the mask itself if n is 1.

    Raises:
        ConfigError: A token is hidden in part, or the sizes do not fit.
    """
    step = round((mask[0].numel() / num_tokens) ** 0.5)
    if step == 1:
        return mask
    blocks = mask.unfold(1, step, step).unfold(2, step, step).flatten(3)
    is_whole = blocks[0, ..., 0].numel() == num_tokens
    if not is_whole or not torch.equal(blocks.all(-1), blocks.any(-1)):
        raise ConfigError(
            f'A mask of {tuple(mask.shape[1:])} entries hides parts of the {num_tokens} tokens '
            "of the last stage. Make its cells multiples of the backbone's total stride."
        )
    return blocks[..., 0]
