import shutil

import numpy as np
import pytest
from PIL import Image

from mim_bench.cli.main import main
from mim_bench.data import image_file
from mim_bench.data.checks import CheckOptions, Kind, check_ade20k
from mim_bench.errors import DataError

OPTIONS = CheckOptions()
BASE = 'ade/ADEChallengeData2016'
MAP = 'annotations/validation/ADE_val_00000002.png'
IMAGE = 'images/validation/ADE_val_00000002.jpg'


def _found(report):
    return {(problem.kind, problem.path) for problem in report.problems}


def _change(path, change):
    with Image.open(path) as image:
        changed = change(image)
    changed.save(path)


def _with_label(value):
    def change(image):
        labels = np.array(image)
        labels[0, 0] = value
        return Image.fromarray(labels)

    return change


@pytest.mark.parametrize('folder', ['', 'ade', BASE])
def test_check_ade20k_embedded_dataset_is_ok(toy_root, folder):
    report = check_ade20k(toy_root / folder, OPTIONS)

    assert report.problems == []
    assert report.counts == {
        'train images': 8,
        'train annotations': 8,
        'val images': 4,
        'val annotations': 4,
    }


def test_check_ade20k_label_out_of_range_names_file_and_value(toy_copy):
    _change(toy_copy / BASE / MAP, _with_label(12))

    report = check_ade20k(toy_copy, OPTIONS)

    assert _found(report) == {(Kind.LABEL, MAP)}
    assert report.problems[0].message == 'holds the label 12; allowed are 0..11'


@pytest.mark.parametrize(('value', 'num_problems'), [(150, 0), (151, 1)])
def test_check_ade20k_real_dataset_allows_150_classes(toy_copy, value, num_problems):
    (toy_copy / 'toy.json').unlink()
    _change(toy_copy / BASE / MAP, _with_label(value))

    report = check_ade20k(toy_copy, CheckOptions(expect={}))

    assert len(report.problems) == num_problems


def test_check_ade20k_images_of_one_name_in_two_folders_are_two_pairs(toy_copy):
    for kind, name in (('images', 'jpg'), ('annotations', 'png')):
        folder = toy_copy / BASE / kind / 'validation'
        (folder / 'more').mkdir()
        shutil.copy(folder / f'ADE_val_00000002.{name}', folder / 'more')

    report = check_ade20k(toy_copy, CheckOptions(expect={'val': 5, 'classes': 11}))

    assert report.problems == []
    assert report.counts['val annotations'] == 5


@pytest.mark.parametrize(('removed', 'counted'), [(MAP, []), (IMAGE, ['images/validation'])])
def test_check_ade20k_half_a_pair_is_named(toy_copy, removed, counted):
    (toy_copy / BASE / removed).unlink()

    found = _found(check_ade20k(toy_copy, OPTIONS))

    assert found == {(Kind.MISSING, removed), *((Kind.COUNT, where) for where in counted)}


def test_check_ade20k_undecodable_image_and_annotation_are_both_named(toy_copy):
    for name in (IMAGE, MAP):
        path = toy_copy / BASE / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    found = _found(check_ade20k(toy_copy, OPTIONS))

    assert found == {(Kind.UNREADABLE, IMAGE), (Kind.UNREADABLE, MAP)}
    assert check_ade20k(toy_copy, CheckOptions(quick=True)).is_ok


def _all_but_3(image):
    labels = np.array(image)
    labels[0, :11] = range(1, 12)
    return Image.fromarray(np.where(labels == 3, 0, labels))


def test_check_ade20k_class_that_no_training_map_shows_is_a_note(toy_copy, capsys):
    for path in (toy_copy / BASE / 'annotations/training').glob('*.png'):
        _change(path, _all_but_3)
    words = ['data', 'check', 'ade20k', str(toy_copy), '--expect', 'train=8,val=4,classes=11']

    assert main(words) == 0

    note = 'note: annotations/training does not show 1 (label 3) of 11 classes'
    assert note in capsys.readouterr().out


@pytest.mark.parametrize('split', ['training', 'validation'])
def test_check_ade20k_maps_without_a_label_are_named(toy_copy, split):
    for path in (toy_copy / BASE / 'annotations' / split).glob('*.png'):
        _change(path, lambda image: image.point(lambda _: 0))

    assert _found(check_ade20k(toy_copy, OPTIONS)) == {(Kind.LABEL, f'annotations/{split}')}


def test_check_ade20k_decodes_each_file_once(toy_copy, monkeypatch):
    read = []
    decode = image_file._decode
    monkeypatch.setattr(
        image_file, '_decode', lambda path, *a, **k: read.append(path) or decode(path, *a, **k)
    )

    assert check_ade20k(toy_copy, OPTIONS).is_ok

    assert len(read) == len(set(read)) == 2 * (8 + 4)


def test_check_ade20k_missing_folder_says_how_to_get_it(tmp_path):
    with pytest.raises(
        DataError, match=r'has no folder images/training.*ADEChallengeData2016\.zip'
    ):
        check_ade20k(tmp_path, OPTIONS)
