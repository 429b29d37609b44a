import shutil

import pytest

from mim_bench.data.checks import CheckOptions, Kind, check_imagenet
from mim_bench.errors import DataError

OPTIONS = CheckOptions()


def _found(report):
    return {(problem.kind, problem.path) for problem in report.problems}


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-500])


def test_check_imagenet_embedded_dataset_is_ok(toy_root):
    report = check_imagenet(toy_root, OPTIONS)

    assert report.problems == []
    assert report.is_ok
    assert report.root == toy_root / 'imagenet'
    assert report.counts == {
        'train images': 40,
        'train classes': 10,
        'val images': 20,
        'val classes': 10,
    }


def test_check_imagenet_two_truncated_files_are_both_named(toy_copy):
    names = ['train/n00000003/n00000003_2.JPEG', 'val/n00000007/ILSVRC2012_val_00000008.JPEG']
    for name in names:
        _truncate(toy_copy / 'imagenet' / name)

    report = check_imagenet(toy_copy, OPTIONS)

    assert _found(report) == {(Kind.UNREADABLE, name) for name in names}
    assert check_imagenet(toy_copy, CheckOptions(quick=True)).is_ok


def test_check_imagenet_missing_image_is_counted_and_named(toy_copy):
    (toy_copy / 'imagenet/val/n00000000/ILSVRC2012_val_00000001.JPEG').unlink()

    report = check_imagenet(toy_copy, OPTIONS)

    assert _found(report) == {
        (Kind.COUNT, 'val'),
        (Kind.MISSING, 'val/n00000000/ILSVRC2012_val_00000001.JPEG'),
    }
    assert report.problems[0].message == 'holds 19 images, expected 20'


def test_check_imagenet_image_that_no_list_names_is_named(toy_copy):
    folder = toy_copy / 'imagenet/train/n00000001'
    shutil.copy(folder / 'n00000001_1.JPEG', folder / 'extra.JPEG')

    report = check_imagenet(toy_copy, CheckOptions(expect={'train': 41, 'val': 20}))

    assert _found(report) == {(Kind.UNLISTED, 'train/n00000001/extra.JPEG')}


def test_check_imagenet_expected_counts_can_be_given(toy_root):
    report = check_imagenet(toy_root, CheckOptions(expect={'train': 50}, quick=True))

    assert [problem.message for problem in report.problems] == ['holds 40 images, expected 50']


def test_check_imagenet_list_with_wrong_label_or_line_is_named(toy_copy):
    path = toy_copy / 'imagenet/meta/val.txt'
    lines = path.read_text().splitlines()
    lines[2] = lines[2].rsplit(' ', 1)[0] + ' 10'
    path.write_text('\n'.join([*lines, 'no-label']))

    report = check_imagenet(toy_copy, CheckOptions(quick=True))

    assert [(problem.kind, problem.path) for problem in report.problems] == [
        (Kind.LABEL, 'meta/val.txt'),
        (Kind.ANNOTATION, 'meta/val.txt'),
    ]
    assert 'line 3: label 10' in report.problems[0].message
    assert 'line 21' in report.problems[1].message


def test_check_imagenet_flat_val_needs_its_list(toy_copy):
    val = toy_copy / 'imagenet/val'
    for path in list(val.glob('*/*')):
        path.rename(val / path.name)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    labels = toy_copy / 'imagenet/meta/val.txt'
    labels.write_text(''.join(f'{line[10:]}\n' for line in labels.read_text().splitlines()))

    assert check_imagenet(toy_copy, OPTIONS).problems == []

    labels.unlink()
    assert _found(check_imagenet(toy_copy, OPTIONS)) == {(Kind.MISSING, 'meta/val.txt')}


def test_check_imagenet_empty_dataset_is_said(tmp_path):
    for split in ('train', 'val'):
        (tmp_path / split).mkdir()

    found = _found(check_imagenet(tmp_path, OPTIONS))

    assert {(Kind.EMPTY, 'train'), (Kind.EMPTY, 'val')} <= found


def test_check_imagenet_real_counts_apply_without_a_manifest(toy_copy):
    (toy_copy / 'toy.json').unlink()

    messages = [p.message for p in check_imagenet(toy_copy, CheckOptions(quick=True)).problems]

    assert 'holds 40 images, expected 1,281,167' in messages
    assert 'holds 10 class folders, expected 1000' in messages


def test_check_imagenet_missing_folder_says_how_to_get_it(tmp_path):
    (tmp_path / 'train').mkdir()

    with pytest.raises(DataError, match=r'no folder val\. Expected DIR/train/<class>.*image-net'):
        check_imagenet(tmp_path, OPTIONS)
