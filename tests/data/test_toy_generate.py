import errno
import json
import shutil

import pytest

from mim_bench.data.toy import SplitCount, ToySize, ToySpec, layouts, make_toy
from mim_bench.errors import ConfigError, DataError

SIZE = ToySize(SplitCount(10, 10), SplitCount(2, 1), SplitCount(2, 1))


def _contents(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob('*')
        if path.is_file()
    }


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A data set, its manifest and the calls of its progress; read it only."""
    root, calls = tmp_path_factory.mktemp('first') / 'toy', []
    manifest = make_toy(root, size=SIZE, progress=lambda *call: calls.append(call))
    return root, manifest, calls


@pytest.fixture(scope='module')
def first(made):
    return _contents(made[0])


@pytest.fixture
def copied(made, tmp_path):
    """A finished data set to damage."""
    return shutil.copytree(made[0], tmp_path / 'toy')


@pytest.fixture
def fail_at_image(monkeypatch):
    """Let drawing the n-th image of the ImageNet layout raise."""

    def arm(number, error):
        draw, calls = layouts.single_digit_scene, []

        def fail(*args):
            calls.append(args)
            if len(calls) == number:
                raise error
            return draw(*args)

        monkeypatch.setattr(layouts, 'single_digit_scene', fail)

    return arm


def test_make_toy_same_seed_gives_the_same_bytes(first, tmp_path):
    make_toy(tmp_path / 'again', size=SIZE)

    assert _contents(tmp_path / 'again') == first


def test_make_toy_two_workers_give_the_same_bytes(first, tmp_path, forked):
    make_toy(tmp_path / 'parallel', size=SIZE, workers=2)

    assert _contents(tmp_path / 'parallel') == first


def test_make_toy_other_seed_gives_other_images(first, tmp_path):
    make_toy(tmp_path / 'other', seed=1, size=SIZE)

    other = _contents(tmp_path / 'other')
    assert other.keys() == first.keys()
    images = [name for name in first if name.endswith(('.jpg', '.JPEG'))]
    assert len(images) == 32
    assert all(other[name] != first[name] for name in images)


def test_make_toy_larger_size_begins_with_the_same_images(first, tmp_path):
    size = ToySize(SplitCount(12, 10), SplitCount(3, 1), SplitCount(3, 1))
    make_toy(tmp_path / 'larger', size=size)

    larger = _contents(tmp_path / 'larger')
    assert all(larger[name] == first[name] for name in first if name.endswith(('.jpg', '.png')))


def test_make_toy_manifest_states_spec_counts_and_sources(made):
    root, manifest, _ = made
    assert manifest == json.loads((root / 'toy.json').read_text())
    assert manifest['seed'] == 0
    assert manifest['size']['imagenet'] == {'train': 10, 'val': 10}
    assert manifest['files'] == {'imagenet': 28, 'ade': 6, 'coco': 8}
    assert {len(digest) for digest in manifest['sha256'].values()} == {64}
    assert all(photo['terms'] for photo in manifest['photographs'])


def test_make_toy_finished_folder_is_left_alone(made, copied):
    marked = copied / 'imagenet/meta/train.txt'
    marked.write_text('edited')

    assert make_toy(copied, size=SIZE) == made[1]
    assert marked.read_text() == 'edited'


def test_make_toy_finished_folder_of_another_seed_is_refused(first, copied):
    with pytest.raises(DataError, match='it has seed 0 instead of 1'):
        make_toy(copied, seed=1, size=SIZE)
    assert _contents(copied) == first


def test_make_toy_interrupted_folder_is_recognised_and_made_anew(first, tmp_path, fail_at_image):
    root = tmp_path / 'toy'
    fail_at_image(7, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        make_toy(root, seed=5, size=SIZE)
    assert (root / 'toy.partial.json').exists()
    assert not (root / 'toy.json').exists()
    stale = root / 'imagenet/train/n00000000/stale.JPEG'
    stale.write_text('from another time')

    make_toy(root, size=SIZE)

    assert _contents(root) == first


def test_make_toy_folder_with_something_else_is_refused_and_untouched(tmp_path):
    (tmp_path / 'imagenet').mkdir()
    (tmp_path / 'imagenet/mine.txt').write_text('precious')

    with pytest.raises(DataError, match='is not empty and is not an embedded dataset'):
        make_toy(tmp_path, size=SIZE)
    assert _contents(tmp_path) == {'imagenet/mine.txt': b'precious'}


def test_make_toy_damaged_manifest_is_named(tmp_path):
    (tmp_path / 'toy.json').write_text('{"seed": ')

    with pytest.raises(DataError, match=r'toy\.json is not JSON'):
        make_toy(tmp_path, size=SIZE)


def test_make_toy_full_disk_is_one_message_and_leaves_nothing(tmp_path, fail_at_image):
    fail_at_image(7, OSError(errno.ENOSPC, 'No space left on device'))

    with pytest.raises(DataError, match='The disk is full'):
        make_toy(tmp_path / 'toy', seed=1, size=SIZE)

    assert list((tmp_path / 'toy').iterdir()) == []


def test_make_toy_other_file_error_keeps_its_type_and_leaves_nothing(tmp_path, fail_at_image):
    fail_at_image(3, PermissionError(errno.EACCES, 'Permission denied'))

    with pytest.raises(PermissionError, match='Permission denied'):
        make_toy(tmp_path / 'toy', size=SIZE)
    assert list((tmp_path / 'toy').iterdir()) == []


def test_toy_size_too_few_for_every_class_raises():
    with pytest.raises(ConfigError, match='Ask for 10 or more'):
        ToySize(imagenet=SplitCount(9, 10))


def test_toy_spec_negative_seed_raises():
    with pytest.raises(ConfigError, match='The seed is -1'):
        ToySpec(seed=-1)
