"""The spread of several runs that differ in their seed only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

# Of intervals, and of tests.
LEVEL = 0.95
ALPHA = 0.05


@dataclass(frozen=True)
class SeedSummary:
    """Values of n seeds.

    Attributes:
        values: In the order given.
        mean: Of the values.
        sd: Standard deviation with n - 1 in the denominator; None for one value.
        interval: Of the mean, by Student's t; None for one value.
    """

    values: tuple[float, ...]
    mean: float
    sd: float | None
    interval: tuple[float, float] | None

    @property
    def n(self) -> int:
        """How many seeds."""
        return len(self.values)


def summarise_seeds(values: Sequence[float], level: float = LEVEL) -> SeedSummary:
    """Mean, standard deviation and t-interval of the mean.

    Args:
        values: At least one.
        level: Of the interval, between 0 and 1.
    """
    values = tuple(map(float, values))
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return SeedSummary(values, mean, None, None)
    sd = float(np.std(values, ddof=1))
    reach = float(special.stdtrit(len(values) - 1, (1 + level) / 2)) * sd / math.sqrt(len(values))
    return SeedSummary(values, mean, sd, (mean - reach, mean + reach))


def welch_test(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p-value of equal means, by Welch's t-test.

    Where neither side varies at all the test has no denominator: equal values give 1, others 0.

    Args:
        a: Values of at least two seeds.
        b: Likewise.
    """
    if np.ptp(a) == 0 and np.ptp(b) == 0:
        return 1.0 if a[0] == b[0] else 0.0
    # The same numbers as ttest_ind of the values, ten times as fast.
    facts = [fact for side in (a, b) for fact in (np.mean(side), np.std(side, ddof=1), len(side))]
    return float(stats.ttest_ind_from_stats(*facts, equal_var=False).pvalue)
