import numpy as np
import pytest
from scipy import stats

from mim_bench.results.statistics import seed_spread, welch_test


def test_seed_spread_equals_scipy():
    values = np.random.default_rng(0).normal(80, 1, 7)
    sd, interval = seed_spread(values)
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval == pytest.approx(wanted, abs=1e-9)
    assert sd == pytest.approx(stats.tstd(values))


def test_seed_spread_of_one_value_is_not_known():
    assert seed_spread([80.0]) == (None, None)


def test_welch_test_equals_scipy():
    rng = np.random.default_rng(1)
    a, b = rng.normal(80, 1, 4), rng.normal(80.5, 2, 6)
    wanted = stats.ttest_ind(a, b, equal_var=False).pvalue
    assert welch_test(a, b) == pytest.approx(wanted, rel=1e-12)


def test_seeds_that_change_nothing_say_nothing():
    assert seed_spread([80.0, 80.0]) == (0.0, None)
    assert welch_test([80.0, 80.0], [81.0, 81.0]) is None
