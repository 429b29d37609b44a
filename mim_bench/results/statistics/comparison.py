"""Whether two rows differ: tests over the same images, and over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from mim_bench.results.statistics.resampling import (
    NUM_RESAMPLES,
    SEED,
    centred,
    percentile_interval,
    two_sided_p,
)
from mim_bench.results.statistics.samples import Sample
from mim_bench.results.statistics.seeds import ALPHA, LEVEL, welch_test


@dataclass(frozen=True)
class Measured:
    """One metric of one row: a value a seed, in percent, and the samples behind them.

    Attributes:
        values: At least one.
        samples: By seed too; None where a run kept no outcomes.
    """

    values: tuple[float, ...]
    samples: tuple[Sample | None, ...]


@dataclass(frozen=True)
class Comparison:
    """The difference of two rows, and how surely there is one.

    Attributes:
        difference: Mean of the first less mean of the second, in percent; of what the outcomes
            give where there are any, of the recorded values otherwise.
        p_values: By test: ``welch`` over seeds, ``mcnemar`` and ``bootstrap`` over images.
        interval: Of the difference, by the paired bootstrap over images; None without it.
        missing: What a test over images lacked; empty if there was one.
    """

    difference: float
    p_values: dict[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    missing: str = ''

    @property
    def p_value(self) -> float | None:
        """The largest of the tests': a difference must pass all that could be made."""
        return max(self.p_values.values(), default=None)

    def is_distinguishable(self, alpha: float = ALPHA) -> bool | None:
        """Whether the rows differ; None where nothing could be tested."""
        return None if self.p_value is None else self.p_value < alpha


def distinguishable(a: Measured, b: Measured, alpha: float = ALPHA) -> bool | None:
    """Whether two rows differ by every test that their runs allow; None if they allow none."""
    return compare(a, b).is_distinguishable(alpha)


def compare(a: Measured, b: Measured, level: float = LEVEL) -> Comparison:
    """Test two rows against each other.

    With two seeds or more on both sides there is Welch's t-test over seeds. With the outcomes of
    every run on the same images there is the paired bootstrap over images of the difference of
    the means and, for one classifier against one other, McNemar's exact test. One seed without
    outcomes can be tested by nothing.

    Args:
        a: One row.
        b: Another, under the same protocol.
        level: Level of the interval.
    """
    difference = float(np.mean(a.values) - np.mean(b.values))
    p_values = {}
    if min(len(a.values), len(b.values)) > 1:
        p_values['welch'] = welch_test(a.values, b.values)
    if missing := _missing([*a.samples, *b.samples]):
        return Comparison(difference, p_values, None, missing)
    # The recorded values are rounded.
    difference = float(_mean_value(a.samples) - _mean_value(b.samples))
    if len(a.samples) == len(b.samples) == 1 and a.samples[0].hits is not None:
        p_values['mcnemar'] = mcnemar_test(a.samples[0].hits, b.samples[0].hits)
    differences = paired_differences(a.samples, b.samples)
    if not len(differences):
        return Comparison(difference, p_values, None, 'no resample holds anything to measure')
    p_values['bootstrap'] = two_sided_p(differences)
    return Comparison(difference, p_values, percentile_interval(differences, level))


def _missing(samples: Sequence[Sample | None]) -> str:
    if any(sample is None for sample in samples):
        return 'outcomes of each image'
    if len({sample.images for sample in samples}) > 1:
        return 'the same images'
    if len({sample.hits is None for sample in samples}) > 1:
        return 'outcomes of one kind'
    return ''


def mcnemar_test(a: np.ndarray, b: np.ndarray) -> float:
    """Exact two-sided p-value of McNemar's test; (N,) bool, whether each classifier is right."""
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    if only_a + only_b == 0:
        return 1.0
    # The distribution of a fair coin is symmetric.
    tail = special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)
    return min(1.0, 2 * float(tail))


def paired_differences(a: Sequence[Sample], b: Sequence[Sample]) -> np.ndarray:
    """Bootstrap replicates of the difference of two means over seeds, on the same resamples.

    Those of mIoU and AP are centred at the difference on the images themselves, see
    :func:`~mim_bench.results.statistics.resampling.centred`. All samples are on the same images.

    Returns:
        (B,) float64 in percent; resamples with nothing to measure are left out.
    """
    if a[0].hits is not None:
        return _hit_differences(a, b)
    # Resamples come in one order: who has more of them leaves out the last.
    num = min(len(sample.replicates) for sample in [*a, *b])
    one, other = (np.mean([s.replicates[:num] for s in side], axis=0) for side in (a, b))
    return centred(one - other, float(_mean_value(a) - _mean_value(b)))


def _mean_value(samples: Sequence[Sample]) -> float:
    return np.mean([sample.value for sample in samples])


def _hit_differences(a: Sequence[Sample], b: Sequence[Sample]) -> np.ndarray:
    """A resample of images is one of the few values that an image's difference can have."""
    # In whole numbers: hits of A times seeds of B, less the opposite.
    one, other = (np.sum([s.hits for s in side], axis=0, dtype=np.int64) for side in (a, b))
    scale = len(a) * len(b)
    counts = np.bincount(one * len(b) - other * len(a) + scale, minlength=2 * scale + 1)
    values = np.arange(-scale, scale + 1) / scale
    num = a[0].images.num
    drawn = np.random.default_rng(SEED).multinomial(num, counts / num, size=NUM_RESAMPLES)
    return 100 * (drawn @ values) / num
