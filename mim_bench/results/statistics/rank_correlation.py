"""Whether two measurements put the same things in the same order."""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

# Two things are always in some order; of three there are six.
FEWEST = 3


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's tau (b) of pairs of values.

    Attributes:
        n: How many pairs.
        tau: From -1, the reverse order, over 0, none, to 1, the same; None without a number.
        p_value: Two-sided, of no association; exact for few pairs without ties.
        reason: Why there is no number; empty if there is one.
    """

    n: int
    tau: float | None = None
    p_value: float | None = None
    reason: str = ''


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> RankCorrelation:
    """How far two measurements agree in their order.

    Args:
        first: Finite values of some things, higher is better.
        second: Of the same things in the same order, higher is better.
    """
    n = len(first)
    if n < FEWEST:
        return RankCorrelation(n, reason=f'fewer than {FEWEST} rows hold both')
    if len(set(first)) == 1 or len(set(second)) == 1:
        return RankCorrelation(n, reason='all values of one side are equal')
    found = stats.kendalltau(first, second)
    return RankCorrelation(n, float(found.statistic), float(found.pvalue))
