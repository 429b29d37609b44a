"""The masks of a batch, made in the loader, checked once and copied to the device once."""

from dataclasses import dataclass, field, replace

import torch
from torch.nn import functional as F

from mim_bench.errors import ConfigError


@dataclass(frozen=True)
class Mask:
    """The hidden and visible patches of each image of a batch, as index tensors.

    Counts are plain numbers and all indices are in one tensor, so a network never waits for the
    device to learn how many patches are visible, and one copy moves a mask. Make it by
    :meth:`of`, which checks that all images hide the same number.

    Attributes:
        order: (B, rows * cols) int64: patch indices, first the visible patches of an image, then
            its hidden ones, both in raster order. (1, rows * cols) holds for all images.
        num_visible: Visible patches of an image.
        grid: Patches as (rows, cols).
        cell: Side of squares of patches, a power of two, that are hidden or visible as a whole.
    """

    order: torch.Tensor
    num_visible: int
    grid: tuple[int, int]
    cell: int = field(default=1, kw_only=True)

    @classmethod
    def of(cls, hidden: 'torch.Tensor | Mask') -> 'Mask':
        """Make a ``Mask`` of the masks that the transforms draw; a ``Mask`` is returned unchanged.

        Args:
            hidden: (B, rows, cols), True = hidden. On a GPU, counting waits for it: training
                steps get their masks from the loader (``collate_masks``).

        Raises:
            ConfigError: The tensor has another rank, or its images hide different numbers.
        """
        if isinstance(hidden, Mask):
            return hidden
        if hidden.dim() != 3:
            raise ConfigError(
                f'Masks of shape {tuple(hidden.shape)} are not (batch, rows, cols) over patches.'
            )
        flat = hidden.flatten(1).bool()
        counts = set((~flat).sum(1).tolist())
        if len(counts) != 1:
            raise ConfigError(
                f'The masks of a batch leave {sorted(counts)} patches visible. All must leave the '
                'same number; draw them with a mask of exact count.'
            )
        order = flat.to(torch.uint8).argsort(dim=1, stable=True)
        return cls(order, counts.pop(), tuple(hidden.shape[1:]), cell=_cell_side(hidden.bool()))

    @property
    def num_hidden(self) -> int:
        """Hidden patches of an image."""
        return self.order.shape[1] - self.num_visible

    @property
    def visible(self) -> torch.Tensor:
        """Indices of the visible patches in raster order: (B, visible) int64, ascending."""
        return self.order[:, : self.num_visible]

    @property
    def hidden(self) -> torch.Tensor:
        """Indices of the hidden patches in raster order: (B, hidden) int64, ascending."""
        return self.order[:, self.num_visible :]

    @property
    def ranks(self) -> torch.Tensor:
        """The inverse of ``order``, (B, rows * cols) int64: each patch's position in it."""
        numbers = torch.arange(self.order.shape[1], device=self.order.device)
        return torch.empty_like(self.order).scatter_(1, self.order, numbers.expand_as(self.order))

    @property
    def is_hidden(self) -> torch.Tensor:
        """The mask as bool (B, rows, cols), True = hidden."""
        return (self.ranks >= self.num_visible).unflatten(1, self.grid)

    def first(self) -> 'Mask':
        """The mask of the first image, as one that holds for the whole batch."""
        return replace(self, order=self.order[:1])

    def coarser(self, factor: int) -> 'Mask':
        """The mask over squares of patches that are hidden, or visible, as a whole.

        Args:
            factor: Side of a square in patches.

        Raises:
            ConfigError: Squares of this side are hidden in part.
        """
        if self.cell % factor:
            raise ConfigError(
                f'A mask of {self.grid} patches hides parts of squares of {factor} x {factor}, '
                f'which are the tokens of the last stage; its own cells are {self.cell} x '
                f"{self.cell}. Make them multiples of the backbone's total stride."
            )
        hidden = self.is_hidden[:, ::factor, ::factor].flatten(1)
        order = hidden.to(torch.uint8).argsort(dim=1, stable=True)
        grid = tuple(side // factor for side in self.grid)
        return Mask(order, self.num_visible // factor**2, grid, cell=self.cell // factor)

    def at(self, num_tokens: int) -> 'Mask':
        """The mask on the coarser grid of a pyramid's last stage, or itself on its own grid.

        Args:
            num_tokens: Tokens of the last stage, whose grid is (rows / n, cols / n).

        Raises:
            ConfigError: The sizes do not fit.
        """
        factor = round((self.order.shape[1] / num_tokens) ** 0.5)
        return self if factor == 1 else self.coarser(factor)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> 'Mask':
        """The mask on a device."""
        return replace(self, order=self.order.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> 'Mask':
        """The mask in pinned memory, so that copying it to a GPU is asynchronous."""
        return replace(self, order=self.order.pin_memory())


def _cell_side(hidden: torch.Tensor) -> int:
    """Side of the largest squares of masks (B, rows, cols) that are hidden as a whole or not."""
    cell = 1
    while not any(side % (2 * cell) for side in hidden.shape[1:]):
        squares = hidden.unfold(1, 2 * cell, 2 * cell).unfold(2, 2 * cell, 2 * cell).flatten(3)
        if not torch.equal(squares.all(-1), squares.any(-1)):
            break
        cell *= 2
    return cell


def take_tokens(tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Gather tokens by index.

    Args:
        tokens: (B or 1, L, ...).
        index: (B or 1, n) int64 into L. A single sample serves the whole batch.

    Returns:
        (B, n, ...); (1, n, ...) if both are single.
    """
    if len(index) == 1:
        return tokens[:, index[0]]
    if len(tokens) == 1:
        return F.embedding(index, tokens[0]) if tokens.dim() == 3 else tokens[0][index]
    samples = torch.arange(len(index), device=index.device)[:, None]
    return tokens[samples, index]
