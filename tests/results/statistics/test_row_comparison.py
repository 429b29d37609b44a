"""Tests of two rows, by hand and against scipy."""

import numpy as np
import pytest
from scipy import stats

from mim_bench.results.outcomes import ClassAreas, Hits, ImageSet
from mim_bench.results.statistics import (
    NUM_RESAMPLES,
    Measured,
    Sample,
    compare,
    image_interval,
    make_samples,
    mcnemar_test,
    paired_differences,
    resample_weights,
)

IMAGES = ImageSet(40, '0' * 64)


def hits(right, images=None):
    right = np.array(right, dtype=bool)
    return Sample(images or ImageSet(len(right), '0' * 64), 100 * right.mean(), hits=right)


def replicated(value, replicates):
    return Sample(IMAGES, value, replicates=np.array(replicates, dtype=float))


def one(sample):
    return Measured((sample.value,), (sample,))


def without_outcomes(*values):
    return Measured(values, (None,) * len(values))


def test_mcnemar_by_hand():
    # Five images that only the first has right, one that only the second has; P of at most 1 or
    # at least 5 of 6 coins: (1 + 6 + 6 + 1) / 64.
    a = np.array([1, 1, 1, 1, 1, 0, 1, 0], dtype=bool)
    b = np.array([0, 0, 0, 0, 0, 1, 1, 0], dtype=bool)
    assert mcnemar_test(a, b) == pytest.approx(14 / 64)
    assert mcnemar_test(b, a) == pytest.approx(14 / 64)


def test_mcnemar_of_equal_classifiers_is_one():
    a = np.array([True, False])
    assert mcnemar_test(a, a) == 1.0


def test_compare_of_hits_has_scipys_paired_bootstrap():
    rng = np.random.default_rng(1)
    a, b = rng.random(2000) < 0.75, rng.random(2000) < 0.72
    found = compare(one(hits(a)), one(hits(b)))
    difference = 100 * (a.astype(float) - b)
    assert found.difference == pytest.approx(difference.mean())
    wanted = stats.bootstrap(
        (difference,), np.mean, n_resamples=4000, method='percentile', random_state=2
    ).confidence_interval
    # Quantiles of a few thousand draws; the interval is 5 points wide.
    assert found.interval == pytest.approx((wanted.low, wanted.high), abs=0.3)
    z = difference.mean() / (difference.std() / 2000**0.5)
    assert found.p_values['bootstrap'] == pytest.approx(2 * stats.norm.sf(abs(z)), abs=0.03)
    assert set(found.p_values) == {'mcnemar', 'bootstrap'}


def test_compare_is_symmetric():
    rng = np.random.default_rng(3)
    a, b = (one(hits(rng.random(300) < p)) for p in (0.8, 0.6))
    there, back = compare(a, b), compare(b, a)
    assert there.p_values['mcnemar'] == back.p_values['mcnemar']
    assert there.interval == pytest.approx([-end for end in reversed(back.interval)], abs=2.5)
    assert compare(a, b).is_distinguishable is compare(b, a).is_distinguishable is True


def test_compare_of_replicates_by_hand():
    # Nine resamples: A - B is 1 on eight and -1 on one; its mean 7/9 moves to the difference 2.
    a = replicated(62.0, [61.0] * 8 + [59.0])
    b = replicated(60.0, [60.0] * 9)
    found = compare(one(a), one(b))
    moved = np.array([1.0] * 8 + [-1.0]) + 2 - 7 / 9
    assert paired_differences([a], [b]) == pytest.approx(moved)
    # All moved differences are above 0: 2 (0 + 1) / (9 + 1).
    assert found.p_values == {'bootstrap': 0.2}
    assert found.interval == pytest.approx(np.quantile(moved, [0.025, 0.975]))


def test_paired_bootstrap_sees_what_two_intervals_do_not():
    # B is always 0.1 behind A, while both vary by some points from resample to resample.
    noise = np.random.default_rng(0).normal(0, 2, NUM_RESAMPLES)
    a, b = replicated(40.0, 40 + noise), replicated(39.9, 39.9 + noise)
    assert image_interval(a)[0] < image_interval(b)[1]
    assert compare(one(a), one(b)).is_distinguishable is True
    independent = replicated(39.9, 39.9 - noise)
    assert compare(one(a), one(independent)).is_distinguishable is False


def test_resamples_without_anything_to_measure_are_left_out():
    a = replicated(50.0, [50.0, np.nan, 51.0])
    b = replicated(40.0, [40.0, 40.0, 41.0])
    assert len(paired_differences([a], [b])) == 2
    assert compare(one(a), one(replicated(40.0, [np.nan] * 3))).interval is None


def test_one_seed_without_outcomes_is_unknown():
    assert compare(without_outcomes(80.0), without_outcomes(10.0)).is_distinguishable is None
    assert compare(without_outcomes(80.0), one(hits([True]))).missing == 'outcomes of each image'


def test_two_seeds_without_outcomes_are_tested_by_welch():
    a, b = without_outcomes(80.0, 80.2, 80.4), without_outcomes(82.0, 82.3, 82.1)
    wanted = stats.ttest_ind(a.values, b.values, equal_var=False).pvalue
    assert compare(a, b).p_values == {'welch': wanted}
    assert compare(a, b).is_distinguishable is True


def test_two_seeds_with_outcomes_must_pass_both_tests():
    rng = np.random.default_rng(4)
    # Few images: the bootstrap cannot tell them apart, Welch's test of equal seeds could.
    images = ImageSet(20, '0' * 64)
    a = Measured((80.0, 80.1), tuple(hits(rng.random(20) < 0.8, images) for _ in range(2)))
    b = Measured((75.0, 75.1), tuple(hits(rng.random(20) < 0.75, images) for _ in range(2)))
    found = compare(a, b)
    assert set(found.p_values) == {'welch', 'bootstrap'}
    assert found.p_values['welch'] < 0.05 < found.p_values['bootstrap']
    assert found.is_distinguishable is False


@pytest.mark.parametrize(
    ('other', 'missing'),
    [
        (hits([True] * 40, ImageSet(40, '1' * 64)), 'the same images'),
        (replicated(50.0, [50.0] * 5), 'outcomes of one kind'),
    ],
)
def test_rows_of_other_images_or_kinds_are_not_tested(other, missing):
    found = compare(one(hits([True, False] * 20, IMAGES)), one(other))
    assert (found.p_values, found.missing) == ({}, missing)
    assert found.is_distinguishable is None


def test_image_interval_of_hits_by_hand():
    # Of six fair coins at most 0 with P = 1/64, at most 5 with 63/64: the middle 95 %.
    assert image_interval(hits([1, 1, 1, 0, 0, 0])) == pytest.approx((100 / 6, 500 / 6))


def test_image_interval_lies_around_the_value():
    sample = replicated(50.0, np.linspace(51, 55, 401))
    assert image_interval(sample) == pytest.approx((48.1, 51.9))


def test_make_samples_of_a_segmentation_measure_every_resample():
    areas = ClassAreas(
        ImageSet(3, '0' * 64), 2, *np.array([[0, 1, 2], [0, 1, 1], [5, 3, 0], [6, 4, 0], [8, 3, 2]])
    )
    samples = make_samples(areas, num_resamples=50)
    # Class 0: 5 of 9. Class 1: 3 of 4 and 0 of 2.
    assert samples['mIoU'].value == pytest.approx(100 * (5 / 9 + 3 / 6) / 2)
    first = next(resample_weights(3))[0]
    copies = np.repeat(np.arange(3), first)
    correct, predicted, labelled = np.zeros((3, 2))
    for image in copies:
        category = areas.category[image]
        correct[category] += areas.intersection[image]
        predicted[category] += areas.predicted[image]
        labelled[category] += areas.labelled[image]
    union = predicted + labelled - correct
    wanted = 100 * np.mean((correct / np.where(union, union, 1))[union > 0])
    assert samples['mIoU'].replicates[0] == pytest.approx(wanted)
    assert samples['mIoU'].replicates.shape == (50,)


def test_make_samples_of_a_classifier_need_no_resample():
    samples = make_samples(Hits(IMAGES, {'top1': np.arange(40) % 4 == 0}))
    assert samples['top1'].value == 25.0
    assert samples['top1'].replicates is None
