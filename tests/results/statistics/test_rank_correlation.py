import numpy as np
import pytest
from scipy import stats

from mim_bench.results.statistics.rank_correlation import rank_correlation


def test_rank_correlation_by_hand():
    # Of the 6 pairs of 4 things one, (2, 3), is the other way round: tau = (5 - 1) / 6.
    found = rank_correlation([1.0, 2.0, 3.0, 4.0], [10.0, 30.0, 20.0, 40.0])
    assert (found.n, found.tau) == (4, pytest.approx(4 / 6))
    # 4 of the 24 orders have at most one inversion, 4 at most one from the reverse.
    assert found.p_value == pytest.approx(8 / 24)


@pytest.mark.parametrize(('second', 'tau'), [([5.0, 6.0, 7.0], 1.0), ([7.0, 6.0, 5.0], -1.0)])
def test_rank_correlation_same_and_reverse_order(second, tau):
    found = rank_correlation([1.0, 2.0, 3.0], second)
    assert (found.tau, found.p_value) == (pytest.approx(tau), pytest.approx(2 / 6))


def test_rank_correlation_with_ties_by_hand():
    # 4 pairs agree, one disagrees, one is tied in the first: (4 - 1) / sqrt(5 * 6).
    found = rank_correlation([1.0, 1.0, 2.0, 3.0], [1.0, 2.0, 4.0, 3.0])
    assert found.tau == pytest.approx(3 / 30**0.5)


def test_rank_correlation_equals_scipy():
    first, second = np.random.default_rng(0).normal(size=(2, 30)).round(1)
    found = rank_correlation(list(first), list(second))
    wanted = stats.kendalltau(first, second)
    assert (found.tau, found.p_value) == (wanted.statistic, wanted.pvalue)


@pytest.mark.parametrize('n', [0, 1, 2])
def test_rank_correlation_of_fewer_than_three_is_no_number(n):
    found = rank_correlation(range(n), range(n))
    assert (found.n, found.tau, found.p_value) == (n, None, None)
    assert found.reason == 'fewer than 3 rows hold both'


def test_rank_correlation_of_equal_values_is_no_number():
    found = rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])
    assert (found.tau, found.reason) == (None, 'all values of one side are equal')
