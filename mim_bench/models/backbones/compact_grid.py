"""The compact grid of uniform masking: the kept patch of every 2x2 cell, and gathers by it."""

from dataclasses import dataclass

import torch

from mim_bench.errors import ConfigError


@dataclass(frozen=True)
class CompactGrid:
    """The kept patch of every cell.

    Attributes:
        corner: (B, cell rows, cell cols) int64 in 0..3: the kept patch of the cell, in
            raster order within the cell.
    """

    corner: torch.Tensor

    @classmethod
    def from_mask(cls, mask: torch.Tensor) -> 'CompactGrid':
        """Read a mask.

        Args:
            mask: (B, rows, cols) bool, True = hidden, one False in every 2x2 cell.

        Raises:
            ConfigError: The grid has an odd side. (That each cell keeps one patch is the
                masks' contract; checking it here would stall a GPU on every step.)
        """
        if mask.dim() != 3 or mask.shape[1] % 2 or mask.shape[2] % 2:
            raise ConfigError(
                f'UM-MAE needs masks of shape (B, rows, cols) with even sides, not '
                f'{tuple(mask.shape)}. Draw them with mim_bench.UniformMask.'
            )
        return cls(_cells(mask[..., None]).squeeze(-1).int().argmin(-1))

    def gather(self, patches: torch.Tensor) -> torch.Tensor:
        """Pick the kept patches: (B, rows, cols, D) -> (B, rows / 2, cols / 2, D)."""
        index = self.corner[..., None, None].expand(-1, -1, -1, 1, patches.shape[-1])
        return _cells(patches).gather(3, index).squeeze(3)

    def patch_places(self) -> torch.Tensor:
        """Row and column of every kept patch in the full grid: (B, rows / 2, cols / 2, 2)."""
        _, rows, cols = self.corner.shape
        device = self.corner.device
        row = 2 * torch.arange(rows, device=device)[:, None] + self.corner // 2
        col = 2 * torch.arange(cols, device=device)[None, :] + self.corner % 2
        return torch.stack((row, col), dim=-1)

    def patch_index(self) -> torch.Tensor:
        """The kept patches by their place in raster order: (B, rows * cols / 4) int64."""
        places = self.patch_places().flatten(1, 2)
        return places[..., 0] * (2 * self.corner.shape[2]) + places[..., 1]

    def token_places(self, tokens_per_patch: int) -> torch.Tensor:
        """Row and column of every compact token in the full token grid.

        Args:
            tokens_per_patch: Tokens along a side of a patch, t.

        Returns:
            (B, t * rows / 2, t * cols / 2, 2) int64.
        """
        t = tokens_per_patch
        places = (self.patch_places() * t).repeat_interleave(t, 1).repeat_interleave(t, 2)
        rows, cols = places.shape[1:3]
        inner = torch.stack(
            torch.meshgrid(
                torch.arange(rows, device=places.device) % t,
                torch.arange(cols, device=places.device) % t,
                indexing='ij',
            ),
            dim=-1,
        )
        return places + inner


def _cells(patches: torch.Tensor) -> torch.Tensor:
    """(B, rows, cols, D) -> (B, rows / 2, cols / 2, 4, D), the patches of every cell."""
    b, rows, cols, d = patches.shape
    cells = patches.reshape(b, rows // 2, 2, cols // 2, 2, d).transpose(2, 3)
    return cells.reshape(b, rows // 2, cols // 2, 4, d)
