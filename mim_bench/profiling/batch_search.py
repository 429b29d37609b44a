"""The largest batch that fits, by doubling and halving."""

from collections.abc import Callable

# The answer may be too small by this share of itself.
TOLERANCE = 1 / 16
LARGEST = 2**16


def largest_fitting(fits: Callable[[int], bool], start: int = 1) -> int:
    """The largest size that fits, to a sixteenth.

    Args:
        fits: Tries a size. What fits, fits at every smaller size too.
        start: Where to begin; a size that fits saves tries.

    Returns:
        A size that was tried and fits; 0 if not even one image does.
    """
    low, high = 0, max(start, 1)
    while high <= LARGEST and fits(high):
        low, high = high, 2 * high
    if high > LARGEST:
        return low
    while high - low > max(1, int(low * TOLERANCE)):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
