import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mim_bench.cli.main import main
from mim_bench.data.checks import CheckOptions, Kind, check_coco
from mim_bench.errors import DataError

OPTIONS = CheckOptions()
JSON = 'annotations/instances_val2017.json'
IMAGE = 'val2017/000000500002.jpg'
MAP = 'stuffthingmaps/val2017/000000500002.png'


def _found(report):
    return {(problem.kind, problem.path) for problem in report.problems}


def _edit(root, change):
    path = root / 'coco' / JSON
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize('folder', ['', 'coco'])
def test_check_coco_embedded_dataset_is_ok(toy_root, folder):
    report = check_coco(toy_root / folder, CheckOptions(need_stuff=True))

    assert report.problems == []
    assert report.counts['train images'] == 8
    assert report.counts['val stuff maps'] == 4
    assert report.counts['val annotations'] > 4


def test_check_coco_two_undecodable_files_are_both_named(toy_copy):
    names = [IMAGE, 'train2017/000000000005.jpg']
    for name in names:
        path = toy_copy / 'coco' / name
        path.write_bytes(path.read_bytes()[:-400])

    assert _found(check_coco(toy_copy, OPTIONS)) == {(Kind.UNREADABLE, name) for name in names}
    assert check_coco(toy_copy, CheckOptions(quick=True)).is_ok


def test_check_coco_missing_image_is_counted_and_named(toy_copy):
    (toy_copy / 'coco' / IMAGE).unlink()

    assert _found(check_coco(toy_copy, OPTIONS)) == {(Kind.COUNT, 'val2017'), (Kind.MISSING, IMAGE)}


def test_check_coco_image_that_the_json_lacks_is_named(toy_copy):
    shutil.copy(toy_copy / 'coco' / IMAGE, toy_copy / 'coco/val2017/extra.jpg')

    report = check_coco(toy_copy, CheckOptions(expect={'val': 5}))

    assert _found(report) == {(Kind.UNLISTED, 'val2017/extra.jpg')}


def test_check_coco_missing_stuff_map_is_named(toy_copy):
    (toy_copy / 'coco' / MAP).unlink()

    assert _found(check_coco(toy_copy, OPTIONS)) == {(Kind.MISSING, MAP)}


def test_check_coco_no_stuff_maps_is_a_problem_only_when_needed(toy_copy):
    shutil.rmtree(toy_copy / 'coco/stuffthingmaps')

    assert check_coco(toy_copy, OPTIONS).is_ok
    report = check_coco(toy_copy, CheckOptions(need_stuff=True))
    assert _found(report) == {
        (Kind.MISSING, 'stuffthingmaps/train2017'),
        (Kind.MISSING, 'stuffthingmaps/val2017'),
    }
    assert 'stuffthingmaps_trainval2017.zip' in report.problems[0].message


def test_check_coco_palette_stuff_map_is_named(toy_copy):
    path = toy_copy / 'coco' / MAP
    with Image.open(path) as labels:
        coloured = labels.convert('P')
    coloured.save(path)

    assert _found(check_coco(toy_copy, OPTIONS)) == {(Kind.UNREADABLE, MAP)}


@pytest.mark.parametrize(('is_toy', 'label'), [(True, 11), (False, 182)])
def test_check_coco_stuff_label_out_of_range_is_named(toy_copy, is_toy, label):
    if not is_toy:
        (toy_copy / 'toy.json').unlink()
    path = toy_copy / 'coco' / MAP
    labels = np.array(Image.open(path))
    labels[5, 5] = label
    Image.fromarray(labels).save(path)

    report = check_coco(toy_copy, CheckOptions(expect={}))

    assert _found(report) == {(Kind.LABEL, MAP)}
    assert f'label {label}; allowed are 0..{label - 1} and 255' in report.problems[0].message


def test_check_coco_sizes_that_differ_are_named(toy_copy):
    _edit(toy_copy, lambda document: document['images'][1].update(width=4000))

    assert _found(check_coco(toy_copy, OPTIONS)) == {(Kind.SIZE, IMAGE), (Kind.SIZE, MAP)}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda d: d['annotations'][0].update(image_id=[1]), 'belongs to image [1]'),
        (lambda d: d['annotations'][0].update(category_id=11), 'has category 11'),
        (lambda d: d['annotations'][0].update(bbox=[-3, 0, 5, 5]), 'outside its image'),
        (lambda d: d['annotations'][0].update(bbox=[1, 1, -5, 5]), 'has the box'),
        (lambda d: d['annotations'][0].update(segmentation=[[1, 2, 3, 4]]), 'has no segmentation'),
        (lambda d: d['categories'].append(d['categories'][0]), 'categories: id 1 stands 2'),
    ],
)
def test_check_coco_inconsistent_json_is_named(toy_copy, change, message):
    _edit(toy_copy, change)

    report = check_coco(toy_copy, CheckOptions(quick=True))

    assert _found(report) == {(Kind.ANNOTATION, JSON)}
    # A category that stands twice has its name twice, too.
    assert len(report.problems) == (2 if 'categories: id' in message else 1)
    assert message in report.problems[0].message


def test_check_coco_image_without_file_name_is_named(toy_copy):
    _edit(toy_copy, lambda document: document['images'][1].pop('file_name'))

    report = check_coco(toy_copy, CheckOptions(quick=True))

    assert _found(report) == {(Kind.ANNOTATION, JSON), (Kind.UNLISTED, IMAGE)}


def test_check_coco_flat_box_is_counted_but_no_problem(toy_copy):
    _edit(toy_copy, lambda document: document['annotations'][0].update(bbox=[5, 5, 9, 0]))

    report = check_coco(toy_copy, CheckOptions(quick=True))

    assert report.is_ok
    assert report.counts['val boxes without area'] == 1


def test_check_coco_crowd_mask_counts_as_segmentation(toy_copy):
    def change(document):
        image = document['images'][0]
        (entry, *_) = [a for a in document['annotations'] if a['image_id'] == image['id']]
        size = [image['height'], image['width']]
        entry['segmentation'] = {'counts': [3, size[0] * size[1] - 3], 'size': size}

    _edit(toy_copy, change)

    assert check_coco(toy_copy, CheckOptions(quick=True)).is_ok


def test_check_coco_missing_or_broken_json_is_named(toy_copy):
    (toy_copy / 'coco' / JSON).write_text('{"images": [')
    (toy_copy / 'coco/annotations/instances_train2017.json').unlink()

    report = check_coco(toy_copy, OPTIONS)

    assert _found(report) == {
        (Kind.UNREADABLE, JSON),
        (Kind.MISSING, 'annotations/instances_train2017.json'),
    }


def test_check_coco_category_without_training_objects_is_a_note(toy_copy, capsys):
    path = toy_copy / 'coco/annotations/instances_train2017.json'
    document = json.loads(path.read_text())
    names = {category['id']: category['name'] for category in document['categories']}
    *kept, last = names
    objects = [entry for entry in document['annotations'] if entry['category_id'] in kept]
    path.write_text(json.dumps(document | {'annotations': objects}))

    assert main(['data', 'check', 'coco', str(toy_copy)]) == 0

    note = f'instances_train2017.json has no object of 1 ({names[last]}) of its categories'
    assert note in capsys.readouterr().out


def test_check_coco_missing_folder_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r'nowhere is not a folder.*train2017\.zip'):
        check_coco(tmp_path / 'nowhere', OPTIONS)
