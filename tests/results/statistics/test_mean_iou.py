import numpy as np
import pytest

from mim_bench.results.outcomes import ClassAreas, ImageSet

# Two images, three classes. Image 0: class 0 fully right (4 pixels), of class 1's 4 pixels 2 right
# and 2 predicted as class 0. Image 1: class 1 alone, 6 right, 2 pixels of no class among them.
PENCIL = ClassAreas(
    ImageSet(2, '0' * 64),
    3,
    image=np.array([0, 0, 1]),
    category=np.array([0, 1, 1]),
    intersection=np.array([4, 2, 6]),
    predicted=np.array([6, 2, 8]),
    labelled=np.array([4, 4, 6]),
)


def test_segmentation_scores_by_hand():
    scores = PENCIL.scores(np.array([[1, 1], [0, 2], [2, 0]]))
    # Both: class 0 4/6, class 1 8/12; class 2 is nowhere. Image 1 twice: class 1 12/16.
    # Image 0 twice: 8/12 and 4/8.
    assert scores['mIoU'] == pytest.approx([200 / 3, 75.0, (200 / 3 + 50) / 2])
    assert scores['aAcc'] == pytest.approx([1200 / 14, 100.0, 75.0])
    assert scores['mAcc'] == pytest.approx([(100 + 80) / 2, 100.0, (100 + 50) / 2])


def test_segmentation_scores_of_nothing_are_not_a_number():
    empty = ClassAreas(ImageSet(1, '0' * 64), 2, *[np.zeros(0, dtype=int)] * 5)
    scores = empty.scores(np.ones((1, 1)))
    assert all(np.isnan(values).all() for values in scores.values())


def test_segmentation_scores_weight_two_is_the_image_twice():
    rng = np.random.default_rng(0)
    num = 40
    image, category = np.divmod(rng.choice(6 * 5, num // 2, replace=False), 5)
    intersection = rng.integers(1, 50, num // 2)
    pixels = {
        'intersection': intersection,
        'predicted': intersection + rng.integers(0, 50, num // 2),
        'labelled': intersection + rng.integers(0, 50, num // 2),
    }
    areas = ClassAreas(ImageSet(6, '0' * 64), 5, image, category, **pixels)
    weights = np.array([1, 0, 2, 1, 0, 3])
    copies = [np.flatnonzero(image == i) for i, w in enumerate(weights) for _ in range(w)]
    rows = np.concatenate(copies)
    repeated = ClassAreas(
        ImageSet(len(copies), '0' * 64),
        5,
        np.repeat(np.arange(len(copies)), [len(copy) for copy in copies]),
        category[rows],
        **{name: column[rows] for name, column in pixels.items()},
    )
    weighted = areas.scores(weights[None])
    physical = repeated.scores(np.ones((1, len(copies))))
    for name, values in physical.items():
        assert weighted[name] == pytest.approx(values, abs=1e-12)
