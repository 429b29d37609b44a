"""Window arithmetic of shifted-window attention: partition, regions, offsets. Pure functions.

A plan says how one feature map is cut into windows. Windows of one image lie
next to its heads, so attention runs on (batch, windows * heads, tokens, dim)
and biases and masks that all images share are broadcast, never copied.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch.nn import functional as F

MASKED_LOGIT = -100.0  # the value of Swin and of UM-MAE's official code


@dataclass(frozen=True)
class WindowPlan:
    """How a map is padded, rolled and cut into windows.

    Attributes:
        grid: The map as (rows, cols).
        window: The window as (rows, cols), never larger than the map.
        shift: The cyclic shift as (rows, cols); 0 along a side that one window covers.
    """

    grid: tuple[int, int]
    window: tuple[int, int]
    shift: tuple[int, int]

    @cached_property
    def padded(self) -> tuple[int, int]:
        """The map's (rows, cols) filled up to whole windows."""
        return tuple(-(-g // w) * w for g, w in zip(self.grid, self.window, strict=True))

    @cached_property
    def num_windows(self) -> int:
        """Windows of one image."""
        return self.padded[0] // self.window[0] * (self.padded[1] // self.window[1])

    @cached_property
    def needs_mask(self) -> bool:
        """Whether a window can hold tokens that must not see each other."""
        return any(self.shift) or self.padded != self.grid


def plan_windows(grid: tuple[int, int], window_size: int, shifted: bool) -> WindowPlan:
    """Plan the windows of a map.

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


def region_mask(plan: WindowPlan) -> torch.Tensor:
    """Which tokens of a window must not see each other, as a float bias.

    Tokens that the cyclic shift brought together and tokens of the padding belong
    to other regions than the rest of their window.

    Returns:
        (windows, tokens, tokens) float32: 0 within a region, -100 across.

    Source: Swin, arXiv:2103.14030, section 3.2. Differs: padding is masked too, where
    mmdet's Swin lets it take part in the attention.
    """
    region = torch.zeros(1, *plan.grid, 1)
    region = F.pad(
        region, (0, 0, 0, plan.padded[1] - plan.grid[1], 0, plan.padded[0] - plan.grid[0]), value=1
    )
    # A wrapped row or column is one that the roll moved past the end of the map.
    rows, cols = plan.padded
    region[:, : plan.shift[0]] += 2
    region[:, :, : plan.shift[1]] += 4
    whole = WindowPlan((rows, cols), plan.window, plan.shift)
    windows = to_windows(region, whole).squeeze(-1).squeeze(0)  # (windows, tokens)
    return (windows[:, :, None] != windows[:, None, :]).float() * MASKED_LOGIT


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # a cached table must serve training later
def cached_region_mask(plan: WindowPlan, device: torch.device) -> torch.Tensor:
    """:func:`region_mask` on a device, made once for each plan."""
    return region_mask(plan).to(device)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # a cached table must serve training later
def regular_offsets(
    window: tuple[int, int], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """The offsets between the tokens of a window on a regular map.

    Returns:
        ``table`` ((2h-1)(2w-1), 2) float32, every offset (key - query) that occurs, as
        (rows, cols), and ``index`` (h*w, h*w) int64 from (query, key) into it.
    """
    h, w = window
    rows, cols = torch.arange(1 - h, h), torch.arange(1 - w, w)
    table = torch.cartesian_prod(rows, cols).float()
    position = torch.cartesian_prod(torch.arange(h), torch.arange(w))
    delta = position[None, :, :] - position[:, None, :]  # key - query
    index = (delta[..., 0] + h - 1) * (2 * w - 1) + delta[..., 1] + w - 1
    return table.to(device), index.to(device)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def offset_square(radius: int, unit: float, device: torch.device) -> torch.Tensor:
    """All offsets up to a radius: ((2r+1)^2, 2) float32, in steps of ``unit``."""
    steps = torch.arange(-radius, radius + 1)
    return (torch.cartesian_prod(steps, steps).float() * unit).to(device)


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
