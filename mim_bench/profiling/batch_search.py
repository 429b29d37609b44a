"""Searches the largest batch that fits, by doubling and halving."""

from collections.abc import Callable

# Relative accuracy of the result.
TOLERANCE = 1 / 16
LARGEST = 2**16


def largest_fitting(fits: Callable[[int], bool], start: int = 1) -> int:
    """Search the largest size that fits, to a sixteenth.

    Args:
        fits: Whether a size fits; if it does, all smaller sizes do.
        start: First size to try; one that fits saves attempts.

    Returns:
        The largest tried size that fits; 0 if not even one image fits.
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
