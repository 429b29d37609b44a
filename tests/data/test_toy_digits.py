import pytest
from sklearn.datasets import load_digits

from mim_bench.data.toy.digits import NUM_DIGITS, digit_indices


def test_digit_indices_every_class_keeps_three_quarters_for_training():
    labels = load_digits().target

    for digit in range(NUM_DIGITS):
        train, val = digit_indices('train')[digit], digit_indices('val')[digit]
        assert set(labels[train]) == set(labels[val]) == {digit}
        assert len(train) / (len(train) + len(val)) == pytest.approx(0.75, abs=0.01)
