"""Window arithmetic of shifted-window attention: partition, regions, offsets. Pure functions.

A plan says how one feature map is cut into windows. Windows of one image lie
next to its heads, so attention runs on (batch, windows * heads, tokens, dim)
and biases and masks that all images share are broadcast, never copied.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps

import torch
from torch.nn import functional as F

MASKED_LOGIT = -100.0  # the value of Swin and of UM-MAE's official code
CPU = torch.device('cpu')
# Masks of large maps are large: four stages, with and without shift, at two resolutions.
NUM_CACHED_MASKS = 16


def kept(maxsize: int) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Decorate a function of tensors so that its latest results are kept.

    Inside ``torch.compile`` they are made as part of the graph, which a cache would break.

    Args:
        maxsize: Results to keep.
    """

    def decorate(function: Callable[..., object]) -> Callable[..., object]:
        # What is made during an inference must serve training later.
        cached = lru_cache(maxsize)(torch.inference_mode(False)(function))

        @wraps(function)
        def choose(*args: object) -> object:
            return (function if torch.compiler.is_compiling() else cached)(*args)

        choose.cache_clear = cached.cache_clear
        return choose

    return decorate


@dataclass(frozen=True)
class WindowPlan:
    """How a map is padded, rolled and cut into windows.

    Attributes:
        grid: The map as (rows, cols).
        window: The window as (rows, cols).
        shift: The cyclic shift as (rows, cols).
    """

    grid: tuple[int, int]
    window: tuple[int, int]
    shift: tuple[int, int]

    @property
    def padded(self) -> tuple[int, int]:
        """The map's (rows, cols) filled up to whole windows."""
        return tuple(-(-g // w) * w for g, w in zip(self.grid, self.window, strict=True))

    @property
    def num_windows(self) -> int:
        """Windows of one image."""
        return self.padded[0] // self.window[0] * (self.padded[1] // self.window[1])

    @property
    def needs_mask(self) -> bool:
        """Whether a window can hold tokens that must not see each other."""
        return any(self.shift) or self.padded != self.grid

    @property
    def whole(self) -> 'WindowPlan':
        """The same windows on a map to which the padding belongs."""
        return WindowPlan(self.padded, self.window, self.shift)


def plan_windows(grid: tuple[int, int], window_size: int, shifted: bool) -> WindowPlan:
    """Plan the windows of a map; none is larger than the map.

    Along a side that is not longer than the window, the window shrinks to the
    side and nothing is shifted (for square maps the rule of UM-MAE's and Swin's
    classification code).

    Args:
        grid: Feature map as (rows, cols).
        window_size: Wanted side of a window in tokens.
        shifted: Whether this block shifts by half a window.
    """
    window = tuple(min(window_size, g) for g in grid)
    shift = tuple(
        w // 2 if shifted and g > window_size else 0 for g, w in zip(grid, window, strict=True)
    )
    return WindowPlan(grid, window, shift)


def plan_swin_windows(
    grid: tuple[int, int], window_size: int, shifted: bool, *, pad_small_map: bool
) -> WindowPlan:
    """Plan the windows of a standard Swin.

    Args:
        grid: Feature map as (rows, cols).
        window_size: Side of a window in tokens.
        shifted: Whether this block shifts by half a window.
        pad_small_map: Pad and shift maps that a window covers, too (the rule of detection and
            segmentation). Otherwise nothing shifts where a window covers a side, and windows
            shrink to shorter sides (the rule of classification).

    Source: Swin, arXiv:2103.14030; mmpretrain's argument of this name, and mmdet's Swin for
    ``pad_small_map``. Differs from mmpretrain, which refuses maps smaller than the window
    without it.
    """
    if pad_small_map:
        shift = window_size // 2 if shifted else 0
        return WindowPlan(grid, (window_size, window_size), (shift, shift))
    return plan_windows(grid, window_size, shifted and min(grid) > window_size)


def to_windows(x: torch.Tensor, plan: WindowPlan) -> torch.Tensor:
    """Cut maps into windows: (B, H, W, C) -> (B, windows, tokens, C)."""
    (rows, cols), (wh, ww) = plan.padded, plan.window
    pad_h, pad_w = rows - plan.grid[0], cols - plan.grid[1]
    if pad_h or pad_w:
        x = F.pad(x, (0, 0, 0, pad_w, 0, pad_h))
    if any(plan.shift):
        x = torch.roll(x, (-plan.shift[0], -plan.shift[1]), dims=(1, 2))
    x = x.reshape(x.shape[0], rows // wh, wh, cols // ww, ww, -1)
    return x.transpose(2, 3).reshape(x.shape[0], plan.num_windows, wh * ww, -1)


def from_windows(x: torch.Tensor, plan: WindowPlan) -> torch.Tensor:
    """Undo :func:`to_windows`: (B, windows, tokens, C) -> (B, H, W, C)."""
    (rows, cols), (wh, ww) = plan.padded, plan.window
    x = x.reshape(x.shape[0], rows // wh, cols // ww, wh, ww, -1)
    x = x.transpose(2, 3).reshape(x.shape[0], rows, cols, -1)
    if any(plan.shift):
        x = torch.roll(x, plan.shift, dims=(1, 2))
    if plan.padded != plan.grid:
        x = x[:, : plan.grid[0], : plan.grid[1]]
    return x


def region_mask(plan: WindowPlan, device: torch.device = CPU) -> torch.Tensor:
    """Which tokens of a window must not see each other, as a float bias.

    Tokens that the cyclic shift brought together and tokens of the padding belong
    to other regions than the rest of their window. Of ``plan.whole`` padding is like any token.

    Args:
        plan: The windows.
        device: Of the result.

    Returns:
        (windows, tokens, tokens) float32: 0 within a region, -100 across.

    Source: Swin, arXiv:2103.14030, section 3.2. mmdet's Swin lets padding take part in the
    attention, as ``plan.whole`` does.
    """
    region = torch.zeros(1, *plan.grid, 1, device=device)
    region = F.pad(
        region, (0, 0, 0, plan.padded[1] - plan.grid[1], 0, plan.padded[0] - plan.grid[0]), value=1
    )
    # A wrapped row or column is one that the roll moved past the end of the map.
    region[:, : plan.shift[0]] += 2
    region[:, :, : plan.shift[1]] += 4
    windows = to_windows(region, plan.whole).squeeze(-1).squeeze(0)  # (windows, tokens)
    return (windows[:, :, None] != windows[:, None, :]).float() * MASKED_LOGIT


@kept(NUM_CACHED_MASKS)
def cached_region_mask(plan: WindowPlan, device: torch.device) -> torch.Tensor:
    """:func:`region_mask` on a device, made once for each plan."""
    return region_mask(plan, device)


@kept(256)
def regular_offsets(
    window: tuple[int, int], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """The offsets between the tokens of a window on a regular map.

    Returns:
        ``table`` ((2h-1)(2w-1), 2) float32, every offset (key - query) that occurs, as
        (rows, cols), and ``index`` (h*w, h*w) int64 from (query, key) into it.
    """
    rows, cols = (torch.arange(1 - side, side, device=device) for side in window)
    table = torch.cartesian_prod(rows, cols).float()
    return table, _offset_index(window, window, device)


@kept(256)
def bias_table_index(
    window: tuple[int, int], table_window: tuple[int, int], device: torch.device
) -> torch.Tensor:
    """Index from (query, key) of a window into Swin's table of relative positions.

    Args:
        window: (rows, cols), not larger than ``table_window``; a smaller one uses the middle
            of the table.
        table_window: (h, w) of the window that the table of (2h-1)(2w-1) rows is for.
        device: Of the result.

    Returns:
        (rows * cols, rows * cols) int64.
    """
    return _offset_index(window, table_window, device).t().contiguous()  # query - key


def _offset_index(
    window: tuple[int, int], reach: tuple[int, int], device: torch.device
) -> torch.Tensor:
    """The number of key - query among all offsets of less than ``reach``, (query, key)."""
    position = torch.cartesian_prod(*(torch.arange(side, device=device) for side in window))
    delta = position[None, :, :] - position[:, None, :]  # key - query
    return (delta[..., 0] + reach[0] - 1) * (2 * reach[1] - 1) + delta[..., 1] + reach[1] - 1


@kept(64)
def offset_square(radius: int, unit: float, device: torch.device) -> torch.Tensor:
    """All offsets up to a radius: ((2r+1)^2, 2) float32, in steps of ``unit``."""
    steps = torch.arange(-radius, radius + 1, device=device)
    return torch.cartesian_prod(steps, steps).float() * unit


def irregular_index(coordinates: torch.Tensor, plan: WindowPlan, radius: int) -> torch.Tensor:
    """Index from (query, key) into :func:`offset_square` for tokens at any integer place.

    Offsets beyond the radius are clamped: they join tokens that the region mask
    keeps apart.

    Args:
        coordinates: (B, H, W, 2) int64, the place of every token in steps.
        plan: The windows.
        radius: Of the table.

    Returns:
        (B, windows, tokens, tokens) int64.
    """
    place = to_windows(coordinates, plan)  # (B, windows, tokens, 2)
    delta = (place[:, :, None, :, :] - place[:, :, :, None, :]).clamp_(-radius, radius)
    return (delta[..., 0] + radius) * (2 * radius + 1) + delta[..., 1] + radius
