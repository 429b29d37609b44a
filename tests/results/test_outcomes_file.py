"""Outcomes survive their file; whatever is wrong with one is an error that names it."""

import json
import time
from dataclasses import fields

import numpy as np
import pytest

from mim_bench.errors import RecordError
from mim_bench.results.outcomes import (
    ClassAreas,
    Detections,
    Hits,
    ImageSet,
    MatchedDetections,
    number_images,
)
from mim_bench.results.outcomes_file import (
    OUTCOMES_FILE,
    read_outcomes,
    read_samples,
    write_outcomes,
)

IMAGES = ImageSet(11, 'ab' * 32)
HITS = Hits(IMAGES, {'top1': np.arange(11) % 3 == 0, 'top5': np.arange(11) < 9})
AREAS = ClassAreas(
    IMAGES, 2, *np.array([[0, 3, 10], [0, 1, 1], [5, 0, 300], [6, 70000, 300], [8, 3, 301]]),
    class_names=('wall', 'sea "side"'),
)  # fmt: skip
MATCHES = MatchedDetections(
    image=np.array([0, 10, 4]),
    category=np.array([0, 0, 2]),
    matched=np.array([0b1111111111, 0b1, 0], dtype=np.uint16),
    ignored=np.array([0, 0b1, 0], dtype=np.uint16),
    truth_image=np.array([0, 4]),
    truth_category=np.array([0, 2]),
    truth_count=np.array([2, 1]),
)
BOXES = Detections(IMAGES, 3, np.linspace(0.5, 0.95, 10), {'bbox': MATCHES, 'segm': MATCHES})


def assert_equal(found, wanted):
    assert type(found) is type(wanted)
    for name in (field.name for field in fields(wanted)):
        value, other = getattr(wanted, name), getattr(found, name)
        if isinstance(value, dict):
            assert list(other) == list(value)
            for key in value:
                if isinstance(value[key], np.ndarray):
                    np.testing.assert_array_equal(other[key], value[key])
                else:
                    assert_equal(other[key], value[key])
        else:
            np.testing.assert_array_equal(other, value)


@pytest.mark.parametrize('outcomes', [HITS, AREAS, BOXES])
def test_outcomes_file_round_trip(tmp_path, outcomes):
    written = write_outcomes(outcomes, tmp_path)
    path = tmp_path / OUTCOMES_FILE
    assert_equal(read_outcomes(path), outcomes)
    read = read_samples(path)
    assert list(read) == list(written) == outcomes.metrics
    for name, sample in written.items():
        assert read[name].value == sample.value or np.isnan(sample.value)
        np.testing.assert_array_equal(read[name].replicates, sample.replicates)
        np.testing.assert_array_equal(read[name].hits, sample.hits)
        assert read[name].images == IMAGES


def test_outcomes_file_same_outcomes_give_the_same_bytes(tmp_path):
    for name in ('a', 'b'):
        write_outcomes(BOXES, tmp_path / name)
        time.sleep(0.01)
    a, b = ((tmp_path / name / OUTCOMES_FILE).read_bytes() for name in ('a', 'b'))
    assert a == b


def test_outcomes_file_of_imagenet_is_small(tmp_path):
    rng = np.random.default_rng(0)
    hits = {'top1': rng.random(50_000) < 0.8, 'top5': rng.random(50_000) < 0.95}
    write_outcomes(Hits(ImageSet(50_000, '0' * 64), hits), tmp_path)
    # A bit an image and metric.
    assert (tmp_path / OUTCOMES_FILE).stat().st_size < 2 * 50_000 / 8 + 2000


def rewrite(path, arrays=None, **meta):
    """Change the facts or the arrays of a file."""
    with np.load(path) as archive:
        content = dict(archive)
    facts = json.loads(str(content.pop('meta'))) | meta
    np.savez(path, meta=np.array(json.dumps(facts)), **(content | (arrays or {})))


@pytest.mark.parametrize(
    ('outcomes', 'change', 'reason'),
    [
        (HITS, dict(version=99), 'version: .*not 99'),
        (HITS, dict(kind='top2'), "kind: .*not 'top2'"),
        (HITS, dict(num_images=0), 'num_images: .*not 0'),
        (HITS, dict(num_images=800), 'no outcomes of a run'),
        (HITS, dict(metrics=['top1']), 'no outcomes of a run'),
        (AREAS, dict(num_classes=1), 'category holds 1, of 1'),
        (BOXES, dict(num_images=5), 'image holds 10, of 5'),
        (BOXES, dict(iou_types=['keypoints']), 'keypoints.image'),
    ],
)
def test_outcomes_file_that_contradicts_itself_is_refused(tmp_path, outcomes, change, reason):
    write_outcomes(outcomes, tmp_path)
    path = tmp_path / OUTCOMES_FILE
    rewrite(path, **change)
    with pytest.raises(RecordError, match=reason) as error:
        read_outcomes(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize('damage', ['truncate', 'text', 'empty', 'npy', 'pickle', 'missing'])
def test_outcomes_file_damaged_is_refused(tmp_path, damage):
    write_outcomes(BOXES, tmp_path)
    path = tmp_path / OUTCOMES_FILE
    data = path.read_bytes()
    path.unlink()
    if damage == 'truncate':
        path.write_bytes(data[: len(data) // 2])
    elif damage == 'text':
        path.write_text('not an archive')
    elif damage == 'empty':
        path.write_bytes(b'')
    elif damage == 'npy':
        with path.open('wb') as file:
            np.save(file, np.zeros(3))
    elif damage == 'pickle':
        np.savez(path, meta=np.array([{'version': 1}], dtype=object))
    for read in (read_outcomes, read_samples):
        with pytest.raises(RecordError, match=r'outcomes\.npz'):
            read(path)


def test_read_samples_of_other_resamples_are_made_again(tmp_path):
    written = write_outcomes(AREAS, tmp_path)
    path = tmp_path / OUTCOMES_FILE
    rewrite(path, arrays={'replicates': np.zeros((3, 4))}, resamples=4)
    again = read_samples(path)['mIoU']
    np.testing.assert_array_equal(again.replicates, written['mIoU'].replicates)


def test_number_images_counts_from_the_folder_that_all_share():
    here, numbers = number_images(['/data/val/b/2.jpg', '/data/val/a/1.jpg', '/data/val/b/1.jpg'])
    there, _ = number_images(['x/b/1.jpg', 'x/b/2.jpg', 'x/a/1.jpg'])
    assert here == there
    assert here.num == 3
    assert numbers.tolist() == [2, 0, 1]


def test_number_images_tells_equal_names_apart_by_their_order():
    images, numbers = number_images(['a/x', 'b/y', 'a/x'])
    assert numbers.tolist() == [0, 2, 1]
    assert images != number_images(['a/x', 'b/y'])[0]


def test_number_images_of_other_images_differ():
    assert number_images(['a/1', 'a/2'])[0] != number_images(['a/1', 'a/3'])[0]


def test_number_images_of_nothing_raises():
    with pytest.raises(RecordError, match='no image'):
        number_images([])
