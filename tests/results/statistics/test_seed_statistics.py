import numpy as np
import pytest
from scipy import stats

from mim_bench.results.statistics.seeds import summarise_seeds, welch_test


def test_summarise_seeds_by_hand():
    # Deviations -2, 0, 2: variance 8 / 2. t(0.975, 2 degrees of freedom) = 4.30265.
    summary = summarise_seeds([80.0, 82.0, 84.0])
    assert (summary.n, summary.mean, summary.sd) == (3, 82.0, 2.0)
    reach = 4.302652729911275 * 2 / 3**0.5
    assert summary.interval == pytest.approx((82 - reach, 82 + reach), abs=1e-9)


def test_summarise_seeds_equals_scipy():
    values = np.random.default_rng(0).normal(80, 1, 7)
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert summarise_seeds(values, level=0.9).interval == pytest.approx(wanted, abs=1e-9)
    assert summarise_seeds(values).sd == pytest.approx(stats.tstd(values))


def test_summarise_seeds_one_value_has_no_spread():
    summary = summarise_seeds([80.0])
    assert (summary.mean, summary.sd, summary.interval) == (80.0, None, None)


def test_welch_test_by_hand():
    # Means 2 and 6, variances 1 and 4, n = 3: t = -4 / sqrt(5 / 3), df = (5/3)^2 / (17/18).
    df = (5 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 3) ** 2 / 2)
    wanted = 2 * stats.t.sf(4 / (5 / 3) ** 0.5, df)
    assert welch_test([1.0, 2.0, 3.0], [4.0, 6.0, 8.0]) == pytest.approx(wanted)


def test_welch_test_equals_scipy():
    rng = np.random.default_rng(1)
    a, b = rng.normal(80, 1, 4), rng.normal(80.5, 2, 6)
    wanted = stats.ttest_ind(a, b, equal_var=False).pvalue
    assert welch_test(a, b) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(('other', 'wanted'), [(80.0, 1.0), (81.0, 0.0)])
def test_welch_test_without_any_spread(other, wanted):
    assert welch_test([80.0, 80.0], [other, other]) == wanted
