"""Interpolation of relative positions along one axis, as a matrix; cached."""

from functools import lru_cache

import torch
from torch.nn import functional as F

from mim_bench.errors import ConfigError

# Where BEiT's loader looks for the ratio of the progression, and how closely.
_RATIOS = (1.01, 1.5)
_RATIO_TOLERANCE = 1e-6

INTERPOLATIONS = ('geometric', 'bicubic')


def check_interpolation(interpolation: str) -> None:
    """Refuse an unknown way to interpolate.

    Raises:
        ConfigError: It is none of ``INTERPOLATIONS``.
    """
    if interpolation not in INTERPOLATIONS:
        raise ConfigError(
            f'Unknown interpolation {interpolation!r} of relative positions. '
            f'Known: {", ".join(INTERPOLATIONS)}.'
        )


@torch.compiler.assume_constant_result  # scipy cannot be traced
def axis_weights(source: int, target: int, interpolation: str) -> torch.Tensor:
    """The matrix from offsets of one length to those of another.

    Args:
        source: Offsets along the axis, 2 * patches - 1.
        target: Wanted number.
        interpolation: 'geometric' or 'bicubic'. Geometric spacing can only spread: a target
            that is not larger than the source is interpolated bicubically.

    Returns:
        (target, source) float64; shared, not to be changed.
    """
    return _axis_weights(source, target, interpolation)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # a cached matrix must serve training later
def _axis_weights(source: int, target: int, interpolation: str) -> torch.Tensor:
    if source == target:
        return torch.eye(source, dtype=torch.float64)
    if interpolation == 'bicubic' or target < source:
        columns = torch.eye(source, dtype=torch.float64)[None, :, :, None]
        size = (target, 1)
        return F.interpolate(columns, size, mode='bicubic', align_corners=False)[0, ..., 0].t()
    return _spline_weights(source, target)


def geometric_ratio(source: int, target: int) -> float:
    """The ratio q of the progression that spreads ``source`` offsets over ``target``.

    The sum of q^n for n < source // 2 is target // 2. The search stays within 1.01 and 1.5,
    as the official one does: beyond, the offsets farthest away get the values of the rim.

    Source: BEiT, arXiv:2106.08254, microsoft/unilm ``beit/run_class_finetuning.py``.
    """
    low, high = _RATIOS
    ratio = low
    while high - low > _RATIO_TOLERANCE:
        ratio = (low + high) / 2
        if (1 - ratio ** (source // 2)) / (1 - ratio) > target // 2:
            high = ratio
        else:
            low = ratio
    return ratio


def _spline_weights(source: int, target: int) -> torch.Tensor:
    """Cubic spline through offsets that lie farther apart the farther out they are."""
    # Only resizing needs scipy, whose import takes a while.
    from scipy.interpolate import make_interp_spline

    powers = geometric_ratio(source, target) ** torch.arange(source // 2, dtype=torch.float64)
    outward = powers.cumsum(0)
    places = torch.cat((-outward.flip(0), torch.zeros(1, dtype=torch.float64), outward))
    wanted = torch.arange(target, dtype=torch.float64) - target // 2
    wanted = wanted.clamp(places[0], places[-1])
    degree = min(3, source - 1)
    if degree == 0:
        return torch.ones(target, 1, dtype=torch.float64)
    spline = make_interp_spline(places.numpy(), torch.eye(source).double().numpy(), k=degree)
    return torch.from_numpy(spline(wanted.numpy()))
