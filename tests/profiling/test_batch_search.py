import pytest

from mim_bench.profiling.worker import LARGEST, largest_fitting


@pytest.mark.parametrize('limit', [1, 2, 7, 8, 100, 1000, 4097])
@pytest.mark.parametrize('start', [1, 8, 300])
def test_largest_fitting_is_right_to_a_sixteenth_and_was_tried(limit, start):
    tried = {}

    def fits(size):
        tried[size] = size <= limit
        return tried[size]

    found = largest_fitting(fits, start)
    assert limit - max(1, limit / 16) < found <= limit
    assert tried[found]
    assert len(tried) <= 20


def test_largest_fitting_nothing_fits_is_zero():
    assert largest_fitting(lambda size: False, 8) == 0


def test_largest_fitting_stops_where_everything_fits():
    assert largest_fitting(lambda size: True, 1) == LARGEST
