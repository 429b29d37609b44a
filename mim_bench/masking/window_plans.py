"""Packs Swin's windows of visible tokens into groups; computed in the loader for each batch.

Windows differ in their number of visible tokens. Whole windows are packed into groups of equal
capacity. Tokens of different windows in a group do not attend to each other, so the results are
those of attention within each window.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mim_bench.masking.mask import Mask
from mim_bench.masking.units import token_places

PADDING = -1  # the window of slots that hold no token
# Entries of the bias index behind the table of relative positions.
NUM_EXTRA = 2
HIDDEN_PAIR, PADDING_PAIR = range(NUM_EXTRA)


@dataclass(frozen=True)
class GroupPlan:
    """Assignment of N tokens to G groups of S slots.

    Attributes:
        slots: (N,) int64, the slot of each token among G * S; None where one group holds all
            tokens in their order.
        bias_index: (G, S, S) int64 from (query, key) into a table of (2w - 1) ** 2 relative
            positions and two entries behind it: for pairs that must not see each other, and
            for pairs of slots without a token. Such slots see only each other, so they change
            neither a token nor the table, forward or backward.
    """

    slots: torch.Tensor | None
    bias_index: torch.Tensor


@dataclass(frozen=True)
class PlannedMask(Mask):
    """A mask of units that holds for the whole batch, with the windows of every stage planned.

    A unit is the square that one token of the last stage covers. Made by :func:`plan_windows`.
    All indices are in one tensor, so one copy moves the plan to a device.

    Attributes:
        window_sizes: Side of the windows of each stage in tokens.
        numbers: int64, the order of the units, then all plans.
        shapes: (groups, slots of a group, tokens that are moved) of each stage, first not
            shifted, then shifted. Equal for all masks of one grid and count, unless a mask needs
            more groups than usual.
    """

    window_sizes: tuple[int, ...]
    numbers: torch.Tensor
    shapes: tuple[tuple[int, int, int], ...]

    @property
    def plans(self) -> list[tuple[GroupPlan, GroupPlan]]:
        """For each stage the plans without and with shifted windows."""
        lengths = [n for groups, size, moved in self.shapes for n in (moved, groups * size**2)]
        parts = iter(self.numbers[self.order.shape[1] :].split(lengths))
        plans = []
        for (groups, size, moved), slots, index in zip(self.shapes, parts, parts, strict=True):
            plans.append(GroupPlan(slots if moved else None, index.view(groups, size, size)))
        return list(zip(plans[::2], plans[1::2], strict=True))

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> 'PlannedMask':
        """The mask and its plans on a device, by one copy."""
        return self._on(self.numbers.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> 'PlannedMask':
        """The mask in pinned memory, so that copying it to a GPU is asynchronous."""
        return self._on(self.numbers.pin_memory())

    def _on(self, numbers: torch.Tensor) -> 'PlannedMask':
        return replace(self, numbers=numbers, order=numbers[None, : self.order.shape[1]])


def plan_windows(mask: Mask, window_sizes: Sequence[int]) -> PlannedMask:
    """Plan the windows of every stage for the first mask of a batch, on the CPU.

    Args:
        mask: Mask over units, on the CPU; that of the first image is used for the batch.
        window_sizes: Side of the windows of each stage in tokens, and of its table of relative
            positions. A stage has twice as many tokens along a side as the next.
    """
    order, plans = mask.order[:1], []
    for stage, window_size in enumerate(window_sizes):
        per_unit = 2 ** (len(window_sizes) - 1 - stage)
        rows, cols = (side * per_unit for side in mask.grid)
        tokens = token_places(order[0, : mask.num_visible], mask.grid, per_unit).numpy()
        places = np.stack((tokens // cols, tokens % cols), axis=-1)
        for shifted in (False, True):
            plans.append(plan_groups(places, (rows, cols), window_size, shifted=shifted))
    shapes = tuple(
        (*plan.bias_index.shape[:2], 0 if plan.slots is None else len(plan.slots)) for plan in plans
    )
    parts = [x.flatten() for plan in plans for x in (plan.slots, plan.bias_index) if x is not None]
    numbers = torch.cat((order[0], *parts))
    order = numbers[None, : order.shape[1]]
    return PlannedMask(order, mask.num_visible, mask.grid, tuple(window_sizes), numbers, shapes)


def plan_groups(
    places: np.ndarray, grid: tuple[int, int], window_size: int, *, shifted: bool
) -> GroupPlan:
    """Group tokens by their windows.

    A window as large as the map is not shifted, and a larger one shrinks to it. Shifted windows
    do not wrap around: those at the border are smaller, which equals the masked cyclic shift.

    Args:
        places: (N, 2) int64, row and column of each token in the map.
        grid: The map as (rows, cols).
        window_size: Side w of a window, and of the table of relative positions, in tokens.
        shifted: Whether the windows are shifted by half a window.

    Returns:
        The plan. Up to 2 w^2 tokens form one group, which is faster than packing. Otherwise a
        group has w^2 slots, padded to a multiple of 8, and there is one group more than full
        windows would need; a mask that needs more gets them (none of 3,000 masks of 37 in 49
        units did).

    Source: GreenMIM, arXiv:2205.13515, section 3.2, as LocalMIM uses it. Differs: best-fit
    decreasing in place of a knapsack; it needs fewer groups (measured: 14.1 against 14.5 of 56
    slots for 768 tokens).
    """
    window = min(window_size, *grid)
    shift = window // 2 if shifted and min(grid) > window_size else 0
    cell = (places + (window - shift) % window) // window
    windows = cell[:, 0] * (grid[1] // window + 2) + cell[:, 1]
    if len(places) <= 2 * window**2:
        return GroupPlan(None, _bias_index(places[None], windows[None], window_size))
    size = 8 * (window**2 // 8 + 1)
    slots, num_groups = _fill_slots(windows, size)
    num_groups = max(num_groups, math.ceil(len(places) / window**2) + 1)
    slot_places = np.zeros((num_groups * size, 2), dtype=np.int64)
    slot_windows = np.full(num_groups * size, PADDING, dtype=np.int64)
    slot_places[slots], slot_windows[slots] = places, windows
    index = _bias_index(
        slot_places.reshape(num_groups, size, 2),
        slot_windows.reshape(num_groups, size),
        window_size,
    )
    return GroupPlan(torch.from_numpy(slots), index)


def pack_windows(sizes: Sequence[int], capacity: int) -> tuple[list[tuple[int, int]], int]:
    """Pack windows into groups: the largest first, each into the fullest group that has room.

    Args:
        sizes: Tokens of each window, none above ``capacity``.
        capacity: Slots of a group.

    Returns:
        For each window its group and its first slot there; the number of groups.
    """
    filled: list[int] = []
    found = [(0, 0)] * len(sizes)
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        room = [g for g, used in enumerate(filled) if used + sizes[i] <= capacity]
        group = max(room, key=filled.__getitem__) if room else len(filled)
        if not room:
            filled.append(0)
        found[i] = (group, filled[group])
        filled[group] += sizes[i]
    return found, len(filled)


def _fill_slots(windows: np.ndarray, capacity: int) -> tuple[np.ndarray, int]:
    """(N,) int64, the slot of each token among all groups; the number of groups."""
    _, numbers, sizes = np.unique(windows, return_inverse=True, return_counts=True)
    found, num_groups = pack_windows(sizes.tolist(), capacity)
    starts = np.array([group * capacity + first for group, first in found])
    order = np.argsort(numbers, kind='stable')
    slots = np.empty(len(windows), dtype=np.int64)
    rank = np.arange(len(windows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    slots[order] = starts[numbers[order]] + rank
    return slots, num_groups


def _bias_index(places: np.ndarray, windows: np.ndarray, window_size: int) -> torch.Tensor:
    """(G, S, S) int64 into the table; see :class:`GroupPlan`.

    Args:
        places: (G, S, 2).
        windows: (G, S), the window of each slot.
        window_size: Side w of a window of the table.
    """
    span = 2 * window_size - 1
    # query - key, as in Swin
    delta = places[:, :, None] - places[:, None] + window_size - 1
    index = delta[..., 0] * span + delta[..., 1]
    index[windows[:, :, None] != windows[:, None]] = span**2 + HIDDEN_PAIR
    is_padding = windows == PADDING
    index[is_padding[:, :, None] & is_padding[:, None]] = span**2 + PADDING_PAIR
    return torch.from_numpy(index)
