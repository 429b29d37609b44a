"""Which tokens a mask leaves visible, as indices into a grid in raster order."""

import torch

from mim_bench.errors import ConfigError


def split_by_mask(
    mask: torch.Tensor, num_visible: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the visible and of the hidden patches.

    Args:
        mask: (B, ...) bool, True = hidden; as many True in every sample.
        num_visible: Visible patches of a sample, where the caller knows it: nothing is then
            read back from the GPU, and nothing checked.

    Returns:
        int64 (B, visible) and (B, hidden), into the flattened grid, both in raster order.

    Raises:
        ConfigError: The samples have different numbers of visible patches.
    """
    flat = mask.flatten(1)
    if num_visible is None:
        counts = set((~flat).sum(1).tolist())
        if len(counts) != 1:
            raise ConfigError(
                f'split_by_mask: masks of a batch leave {sorted(counts)} patches visible. All '
                'must leave the same number; draw them with a mask of exact count.'
            )
        (num_visible,) = counts
    order = flat.to(torch.uint8).argsort(dim=1, stable=True)
    return order[:, :num_visible], order[:, num_visible:]


def take_tokens(tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Pick tokens by their place.

    Args:
        tokens: (B or 1, L, ...).
        index: (B or 1, n) int64 into L. A single sample serves the whole batch.

    Returns:
        (B, n, ...); (1, n, ...) if both are single.
    """
    if len(index) == 1:
        return tokens[:, index[0]]
    if len(tokens) == 1:
        return tokens[0][index]
    samples = torch.arange(len(index), device=index.device)[:, None]
    return tokens[samples, index]
