import numpy as np
import pytest
from sklearn.datasets import load_digits

from mim_bench.data.toy.digits import NUM_DIGITS, Pose, digit_indices, ink


def test_digit_indices_splits_are_disjoint_and_complete():
    train, val = (set(np.concatenate(digit_indices(split))) for split in ('train', 'val'))

    assert not train & val
    assert train | val == set(range(1797))


def test_digit_indices_every_class_keeps_three_quarters_for_training():
    labels = load_digits().target

    for digit in range(NUM_DIGITS):
        train, val = digit_indices('train')[digit], digit_indices('val')[digit]
        assert set(labels[train]) == set(labels[val]) == {digit}
        assert len(train) / (len(train) + len(val)) == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize('height', [28, 60, 120])
def test_ink_upright_has_the_height_asked_for(height):
    coverage = ink(0, Pose(height=height))

    assert coverage.shape[0] == pytest.approx(height, abs=2)


def test_ink_is_solid_inside_and_soft_only_at_the_rim():
    coverage = ink(0, Pose(height=64))

    assert coverage.dtype == np.float32
    assert coverage.min() == 0
    assert coverage.max() == 1
    soft = (coverage > 0.05) & (coverage < 0.95)
    assert 0 < soft.sum() < 0.35 * (coverage >= 0.5).sum()


def test_ink_zero_has_a_hole_in_its_middle():
    coverage = ink(0, Pose(height=64))  # scikit-learn's first digit is a zero

    rows, columns = coverage.shape
    assert coverage[rows // 2, columns // 2] == 0
    assert coverage[rows // 2].max() == 1


def test_ink_rotated_turns_counter_clockwise():
    one = digit_indices('train')[1][0]
    upright = ink(one, Pose(height=64))
    lying = ink(one, Pose(height=64, angle=90))

    expected = np.rot90(upright)  # counter-clockwise
    assert lying.shape == pytest.approx(expected.shape, abs=2)
    rows, columns = (min(sides) for sides in zip(lying.shape, expected.shape, strict=True))
    difference = np.abs(lying[:rows, :columns] - expected[:rows, :columns])
    assert difference.mean() < 0.06


def test_ink_lower_level_is_bolder():
    bold, fine = (ink(0, Pose(height=64, level=level)) for level in (0.4, 0.6))

    assert bold.sum() > 1.1 * fine.sum()
