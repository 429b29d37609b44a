"""Packing of the visible tokens of windows into groups of one size. Pure functions of numpy.

Windows lose most of their tokens to the mask, and each another number. Whole windows are
packed into groups of one capacity, and tokens of different windows in a group do not see each
other, so attention gives the same numbers as on each window alone.
"""

from dataclasses import dataclass

import numpy as np

PADDING = -1  # the window of slots that hold no token
# Entries of the bias index behind the table of relative positions.
NUM_EXTRA = 2
HIDDEN_PAIR, PADDING_PAIR = range(NUM_EXTRA)


@dataclass(frozen=True)
class GroupPlan:
    """How N tokens lie in G groups of S slots.

    Attributes:
        tokens: (G * S,) int64: the token in each slot; a slot without one repeats token 0.
            None where one group holds all tokens in their order.
        slots: (N,) int64: the slot of each token, or None likewise.
        bias_index: (G, S, S) int64 from (query, key) into a table of (2w - 1) ** 2 relative
            positions and two entries behind it: for pairs that must not see each other, and
            for pairs of slots without a token, which see each other alone. So nothing that
            happens in such a slot reaches a token or the table, forward or backward.
    """

    tokens: np.ndarray | None
    slots: np.ndarray | None
    bias_index: np.ndarray


def plan_groups(
    places: np.ndarray, grid: tuple[int, int], window_size: int, *, shifted: bool
) -> GroupPlan:
    """Group tokens by their windows.

    A window as large as the map is not shifted, and one larger shrinks to it. Shifted
    windows do not wrap around: those at the border are smaller, which is what the cyclic
    shift with its mask computes.

    Args:
        places: (N, 2) int64, row and column of each token in the map.
        grid: The map as (rows, cols).
        window_size: Side w of a window, and of the table of relative positions, in tokens.
        shifted: Whether the windows are shifted by half a window.

    Source: GreenMIM, arXiv:2205.13515, section 3.2, as LocalMIM uses it. Differs: a group
    holds as many tokens as the fullest window, as in LocalMIM's code; no search over sizes.
    """
    window = min(window_size, *grid)
    shift = window // 2 if shifted and min(grid) > window_size else 0
    cell = (places + (window - shift) % window) // window
    windows = cell[:, 0] * (grid[1] // window + 2) + cell[:, 1]
    num_tokens = len(places)
    if num_tokens <= 2 * window**2:
        # One group wastes less time than packing saves.
        index = _bias_index(places[None], windows[None], window_size)
        return GroupPlan(None, None, index)
    tokens = _fill_slots(windows)
    is_token = tokens != PADDING
    filled = np.where(is_token, tokens, 0)
    slots = np.empty(num_tokens, dtype=np.int64)
    slots[filled[is_token]] = np.flatnonzero(is_token)
    index = _bias_index(places[filled], np.where(is_token, windows[filled], PADDING), window_size)
    return GroupPlan(filled.flatten(), slots, index)


def pack_windows(sizes: list[int], capacity: int) -> list[list[int]]:
    """Pack windows into groups, each time the subset that fills a group best.

    Args:
        sizes: Tokens of each window, none above ``capacity``.
        capacity: Slots of a group.

    Returns:
        The windows of each group, by their index; every window once.
    """
    left, groups = list(range(len(sizes))), []
    while left:
        group = _fullest_subset([sizes[i] for i in left], capacity)
        groups.append([left[k] for k in group])
        left = [i for k, i in enumerate(left) if k not in group]
    return groups


def _fullest_subset(sizes: list[int], capacity: int) -> set[int]:
    """The subset with the largest sum up to a capacity (a 0/1 knapsack).

    Bit s of a number says that the sum s can be reached, so a step is one shift.
    """
    allowed = (1 << capacity + 1) - 1
    reachable = [1]
    for size in sizes:
        reachable.append((reachable[-1] | reachable[-1] << size) & allowed)
    rest = reachable[-1].bit_length() - 1
    chosen = set()
    for k in reversed(range(len(sizes))):
        if not reachable[k] >> rest & 1:
            chosen.add(k)
            rest -= sizes[k]
    return chosen


def _fill_slots(windows: np.ndarray) -> np.ndarray:
    """(G, S) int64: the token of each slot, or PADDING."""
    order = np.argsort(windows, kind='stable')
    _, sizes = np.unique(windows, return_counts=True)
    members = np.split(order, np.cumsum(sizes)[:-1])
    groups = pack_windows(sizes.tolist(), int(sizes.max()))
    tokens = np.full((len(groups), sizes.max()), PADDING, dtype=np.int64)
    for row, group in zip(tokens, groups, strict=True):
        found = np.concatenate([members[i] for i in group])
        row[: len(found)] = found
    return tokens


def _bias_index(places: np.ndarray, windows: np.ndarray, window_size: int) -> np.ndarray:
    """(G, S, S) int64 into the table; see :class:`GroupPlan`.

    Args:
        places: (G, S, 2).
        windows: (G, S), the window of each slot.
        window_size: Of the table.
    """
    span = 2 * window_size - 1
    # query - key, as in Swin
    delta = places[:, :, None] - places[:, None] + window_size - 1
    index = delta[..., 0] * span + delta[..., 1]
    index[windows[:, :, None] != windows[:, None]] = span**2 + HIDDEN_PAIR
    is_padding = windows == PADDING
    index[is_padding[:, :, None] & is_padding[:, None]] = span**2 + PADDING_PAIR
    return index
