import functools

import numpy as np
import pytest
from PIL import Image

from mim_bench.data.checks import CheckOptions, Kind, Problem
from mim_bench.data.checks.files import (
    LabelRule,
    check_count,
    check_label_map,
    check_photo,
    inspect_all,
    list_images,
)

RULE = LabelRule(highest=150)


def _kinds(problems):
    return [problem.kind for problem in problems]


def _named(number):
    """A problem for every even number."""
    return [] if number % 2 else [Problem(str(number), Kind.EMPTY, 'even')]


@pytest.mark.parametrize('ending', ['jpg', 'png'])
def test_check_photo_truncated_file_is_named(tmp_path, ending):
    path = tmp_path / f'a.{ending}'
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    assert check_photo(path, 'x/a', size=(64, 64)) == []
    path.write_bytes(path.read_bytes()[:-1000])

    problems = check_photo(path, 'x/a', size=(64, 64))

    assert [(p.path, p.kind) for p in problems] == [('x/a', Kind.UNREADABLE)]


@pytest.mark.parametrize('content', [b'', b'<html>404</html>', b'\xff\xd8\xff'])
def test_no_image_at_all_is_named(tmp_path, content):
    path = tmp_path / 'a.jpg'
    path.write_bytes(content)

    assert _kinds(check_photo(path, 'a.jpg')) == [Kind.UNREADABLE]
    assert _kinds(check_label_map(path, 'a.jpg', RULE)[1]) == [Kind.UNREADABLE]


def test_absent_file_is_missing(tmp_path):
    assert _kinds(check_photo(tmp_path / 'a.jpg', 'a.jpg')) == [Kind.MISSING]
    assert _kinds(check_label_map(tmp_path / 'a.png', 'a.png', RULE)[1]) == [Kind.MISSING]


@pytest.mark.parametrize(
    ('labels', 'rule', 'message'),
    [
        ([0, 151], LabelRule(150), 'holds the label 151; allowed are 0..150'),
        ([0, 255], LabelRule(150), 'holds the label 255; allowed are 0..150'),
        ([0, 150, 255], LabelRule(150, ignored=255), None),
        ([0, 152], LabelRule(150, ignored=255), 'label 152; allowed are 0..150 and 255'),
        (range(200, 220), LabelRule(150), '200, 201, 202, 203, 204, …;'),
    ],
)
def test_check_label_map_labels_out_of_range_are_named(tmp_path, labels, rule, message):
    Image.fromarray(np.array([labels], dtype=np.uint8)).save(tmp_path / 'a.png')

    size, problems = check_label_map(tmp_path / 'a.png', 'a.png', rule)

    assert size == (1, len(labels))
    assert _kinds(problems) == [Kind.LABEL] * (message is not None)
    assert not message or message in problems[0].message


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA', '1'])
def test_check_label_map_of_colours_is_named(tmp_path, mode):
    Image.new(mode, (4, 4)).save(tmp_path / 'a.png')

    size, problems = check_label_map(tmp_path / 'a.png', 'a.png', RULE)

    assert size is None
    assert _kinds(problems) == [Kind.UNREADABLE]
    assert 'a label map has one channel of whole numbers' in problems[0].message


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
