import functools

import numpy as np
import pytest
from PIL import Image

from mim_bench.data.checks import CheckOptions, Kind, Problem
from mim_bench.data.checks.files import (
    LabelRule,
    check_count,
    check_label_map,
    inspect_all,
    list_images,
    read_image,
)


def _kinds(problems):
    return [problem.kind for problem in problems]


def _named(number):
    """A problem for every even number."""
    return [] if number % 2 else [Problem(str(number), Kind.EMPTY, 'even')]


def test_read_image_whole_file_gives_its_pixels(tmp_path):
    Image.new('RGB', (5, 3), (9, 9, 9)).save(tmp_path / 'a.png')

    image, problems = read_image(tmp_path / 'a.png', 'a.png')

    assert problems == []
    assert image.size == (5, 3)
    assert image.getpixel((4, 2)) == (9, 9, 9)


@pytest.mark.parametrize('ending', ['jpg', 'png'])
def test_read_image_truncated_file_is_named(tmp_path, ending):
    path = tmp_path / f'a.{ending}'
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-1000])

    image, problems = read_image(path, 'x/a')

    assert image is None
    assert [(p.path, p.kind) for p in problems] == [('x/a', Kind.UNREADABLE)]


@pytest.mark.parametrize('content', [b'', b'<html>404</html>', b'\xff\xd8\xff'])
def test_read_image_no_image_at_all_is_named(tmp_path, content):
    path = tmp_path / 'a.jpg'
    path.write_bytes(content)

    assert _kinds(read_image(path, 'a.jpg')[1]) == [Kind.UNREADABLE]


def test_read_image_absent_file_is_missing(tmp_path):
    assert _kinds(read_image(tmp_path / 'a.jpg', 'a.jpg')[1]) == [Kind.MISSING]


def test_check_label_map_label_above_range_is_named_with_its_value():
    labels = np.zeros((4, 4), dtype=np.uint8)
    labels[1, 2] = 151

    problems = check_label_map(Image.fromarray(labels), 'a.png', LabelRule(highest=150))

    assert _kinds(problems) == [Kind.LABEL]
    assert problems[0].message == 'holds the label 151; allowed are 0..150'


def test_check_label_map_highest_and_ignored_labels_are_fine():
    labels = np.array([[0, 150, 255]], dtype=np.uint8)

    rule = LabelRule(highest=150, ignored=255)

    assert check_label_map(Image.fromarray(labels), 'a.png', rule) == []


def test_check_label_map_many_wrong_labels_are_shortened():
    labels = np.arange(200, 220, dtype=np.uint8)[None]

    problems = check_label_map(Image.fromarray(labels), 'a.png', LabelRule(highest=150))

    assert '200, 201, 202, 203, 204, …;' in problems[0].message


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA', '1'])
def test_check_label_map_other_mode_is_named(mode):
    problems = check_label_map(Image.new(mode, (4, 4)), 'a.png', LabelRule(highest=150))

    assert _kinds(problems) == [Kind.MODE]
    assert f'has mode {mode}, expected L or P' in problems[0].message


def test_check_count_right_wrong_and_none_at_all():
    assert check_count('train', 5, 5) == []
    assert check_count('train', 5, None) == []
    assert check_count('train', 4, 5)[0].message == 'holds 4 images, expected 5'
    assert _kinds(check_count('train', 0, 5)) == [Kind.EMPTY]


def test_list_images_finds_any_case_of_ending_in_subfolders(tmp_path):
    for name in ('a.JPEG', 'sub/b.jpg', 'c.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert [path.name for path in list_images(tmp_path)] == ['a.JPEG', 'b.jpg']
    assert list_images(tmp_path / 'absent') == []


@pytest.mark.parametrize('workers', [1, 2])
def test_inspect_all_keeps_order_and_reports_progress(workers, forked):
    calls = []
    options = CheckOptions(workers=workers, progress=lambda *call: calls.append(call))

    problems = list(inspect_all(functools.partial(_named), range(5), options))

    assert [problem.path for problem in problems] == ['0', '2', '4']
    assert calls == [(done, 5) for done in range(1, 6)]
