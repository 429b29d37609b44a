import numpy as np
import pytest

from mim_bench.results.statistics import resample_weights, two_sided_p


def weights(*args, **kwargs):
    return np.concatenate(list(resample_weights(*args, **kwargs)))


def test_resample_weights_are_multinomial():
    drawn = weights(10, 20_000)
    # Mean 1, variance N (1/N) (1 - 1/N) = 0.9, covariance -N (1/N)^2 = -0.1.
    assert drawn.mean(axis=0) == pytest.approx(np.ones(10), abs=0.03)
    covariance = np.cov(drawn.T)
    assert covariance == pytest.approx(np.eye(10) - 0.1, abs=0.04)


def test_resample_weights_first_ones_do_not_depend_on_how_many():
    large = 200_000  # one row a chunk
    assert (weights(large, 2)[0] == weights(large, 1)[0]).all()
    assert (weights(9, 300)[:100] == weights(9, 100)).all()


def test_resample_weights_are_those_of_every_release():
    # Old files hold replicates: other weights would break their pairing in silence.
    assert weights(8, 3).tolist() == EXPECTED


def test_two_sided_p_by_hand():
    # One of nine is not above zero, nine of nine and the sample: 2 (1 + 1) / (9 + 1).
    assert two_sided_p(np.array([-1.0, *[1.0] * 8])) == 0.4
    assert two_sided_p(np.zeros(9)) == 1.0
    assert two_sided_p(np.ones(1999)) == 2 / 2000


# The upper three bits of PCG64's first 24 numbers.
EXPECTED = [[0, 2, 1, 0, 1, 1, 1, 2], [0, 1, 0, 1, 1, 2, 3, 0], [0, 0, 3, 1, 2, 1, 1, 0]]
