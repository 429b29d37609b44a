"""COCO's annotations as users have them, and own data: the right number or one message."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from mmengine.registry import METRICS
from PIL import Image

from mim_bench.data import image_file, segmentation
from mim_bench.data.summary import summary_of
from mim_bench.engine.launch import Launch, resolve
from mim_bench.errors import MimBenchError
from mim_bench.recipe.config import load_config, set_data_root
from mim_bench.recipe.data_content import dataset_content
from mim_bench.recipe.own_data import use_own_data
from mim_bench.testing.bad_inputs import (
    CONFIGS,
    DEMO,
    SPLITS,
    built,
    cut,
    found_by_check,
    launched,
    refused,
    resave,
    tag_exif,
)

# --- COCO


def _document(root, change, *splits):
    for split in splits or SPLITS:
        path = root / f'annotations/instances_{split}2017.json'
        path.write_text(json.dumps(change(json.loads(path.read_text()))))


def _objects(change, *splits):
    def apply(root):
        _document(
            root, lambda d: d | {'annotations': [change(a) for a in d['annotations']]}, *splits
        )

    return apply


def _categories(change, *splits):
    return lambda root: _document(
        root, lambda d: d | {'categories': change(d['categories'])}, *splits
    )


def _runs(root):
    from pycocotools import mask

    def change(document):
        sizes = {i['id']: (i['height'], i['width']) for i in document['images']}
        for entry in document['annotations']:
            size = sizes[entry['image_id']]
            runs = mask.merge(mask.frPyObjects(entry['segmentation'], *size))
            entry['segmentation'] = {'size': list(size), 'counts': runs['counts'].decode()}
        return document

    _document(root, change)


def _gaps(root):
    def change(document):
        new = {c['id']: c['id'] * 7 + 3 for c in document['categories']}
        return document | {
            'categories': [c | {'id': new[c['id']]} for c in document['categories']],
            'annotations': [
                a | {'category_id': new[a['category_id']]} for a in document['annotations']
            ],
        }

    _document(root, change)


def _first(root):
    return sorted((root / 'train2017').iterdir())[0]


def _without(entry, key):
    return {name: value for name, value in entry.items() if name != key}


def _rename(document):
    images = [i | {'file_name': f'./{i["file_name"]}'} for i in document['images']]
    return document | {'images': images}


def _webp(root):
    name = _first(root).name
    resave(_first(root), '.webp')
    _document(
        root,
        lambda d: json.loads(json.dumps(d).replace(name, name.replace('.jpg', '.webp'))),
        'train',
    )


COCO_THAT_WORKS = {
    'runs': _runs,
    'gaps in the ids': _gaps,
    'categories of val in another order': _categories(lambda c: c[::-1], 'val'),
    'one category more': _categories(lambda c: [*c, {'id': 900, 'name': 'ten'}]),
    'area 0': _objects(lambda a: a | {'area': 0}),
    'short polygons beside others': _objects(
        lambda a: a | {'segmentation': [[1, 1, 5, 5], *a['segmentation'], [3, 4, 5]]}
    ),
    'no area': _objects(lambda a: _without(a, 'area')),
    'no iscrowd': _objects(lambda a: _without(a, 'iscrowd')),
    'hidden image': lambda root: shutil.copy(_first(root), root / 'train2017/._x.jpg'),
    'names of files from here': lambda root: _document(root, _rename),
    'ending that no list has': _webp,
}


@pytest.fixture(scope='module')
def objects(toy_root):
    """The objects of the embedded data by split."""
    data = launched('coco', toy_root / 'coco')
    return {split: _named(dataset) for split, dataset in data.items()}


@pytest.mark.parametrize('case', COCO_THAT_WORKS)
def test_annotations_that_work_give_the_same_objects(copy, case, objects):
    root = copy('coco')
    COCO_THAT_WORKS[case](root)

    data = launched('coco', root)

    assert {split: _named(dataset) for split, dataset in data.items()} == objects
    if case != 'one category more':
        assert found_by_check('coco', root, train=8, val=4, classes=10).problems == []


def _named(dataset):
    """The name of the class of every object, in order: what a number means."""
    names = dataset.metainfo['classes']
    return [
        [(names[i['bbox_label']], i['bbox']) for i in dataset.get_data_info(n)['instances']]
        for n in range(len(dataset))
    ]


def test_metric_and_data_set_number_the_classes_by_the_same_names(copy):
    root = copy('coco')
    COCO_THAT_WORKS['categories of val in another order'](root)
    path = root / 'annotations/instances_val2017.json'
    ids = {c['name']: c['id'] for c in json.loads(path.read_text())['categories']}
    names = ('two', 'nine', 'zero')

    metric = METRICS.build(dict(type='mim_bench.CocoMetric', ann_file=str(path), metric='bbox'))

    assert metric._coco_api.get_cat_ids(cat_names=names) == [ids[name] for name in names]


def _outlines(outline):
    return _objects(lambda a: _without(a, 'area') | {'segmentation': outline})


def _masks(counts):
    def change(document):
        sizes = {i['id']: [i['height'], i['width']] for i in document['images']}
        for entry in document['annotations']:
            entry['segmentation'] = {'size': sizes[entry['image_id']], 'counts': counts}
            del entry['area']
        return document

    return lambda root: _document(root, change)


BAD_COCO = {
    'three of ten': (
        _categories(lambda c: c[:3]),
        r'annotation .* has category .*not in the file|has 10 \(.*the file has 3 \(',
    ),
    'two of one name': (
        _categories(lambda c: [c[0] | {'name': c[1]['name']}, *c[1:]]),
        r'categories: 2 are called',
    ),
    'all crowd': (
        _objects(lambda a: a | {'iscrowd': 1}),
        r'can use none of its objects.*marked as crowds',
    ),
    'all to be ignored': (_objects(lambda a: a | {'ignore': 1}), 'marked to be ignored'),
    'runs of another size': (
        lambda root: (
            _runs(root),
            _objects(lambda a: a | {'segmentation': a['segmentation'] | {'size': [9, 7]}})(root),
        ),
        r'annotation \d+ has a mask of \[9, 7\] pixels',
    ),
    'boxes only': (
        _objects(lambda a: _without(a, 'segmentation')),
        'has no segmentation: .*GFL needs boxes only',
    ),
    'image ids of text': (
        _objects(lambda a: a | {'image_id': str(a['image_id'])}),
        r"belongs to image '\d+', which is not in the file",
    ),
    'empty outlines': (_objects(lambda a: a | {'segmentation': []}), 'has no segmentation'),
    'corners in place of sizes': (
        _objects(lambda a: a | {'bbox': [150, 150, 150 + a['bbox'][2], 150 + a['bbox'][3]]}),
        r'outside its image',
    ),
    'no box': (_objects(lambda a: _without(a, 'bbox')), r'has the box None'),
    'one id twice': (
        _objects(lambda a: a | {'id': 1}, 'train'),
        r'annotations: id 1 stands \d+ times',
    ),
    'negative ids': (_objects(lambda a: a | {'id': -a['id']}), 'a whole number from 0'),
    'ids that no float64 holds': (
        _objects(lambda a: a | {'id': a['id'] + 10**20}),
        'a whole number from 0',
    ),
    'crowd of text': (_objects(lambda a: a | {'iscrowd': '0'}), "has iscrowd '0', expected 0 or 1"),
    'crowd of nothing': (_objects(lambda a: a | {'iscrowd': None}), 'has iscrowd None'),
    # pycocotools fills the memory, or never ends, over these.
    'polygon of nan': (_outlines([[1, 1, float('nan'), 5, 5, 5]]), 'not all finite numbers'),
    'polygon of text': (_outlines([['1', '1', '5', '5', '3', '3']]), 'not all finite numbers'),
    'polygon far away': (_outlines([[0, 0, 1e9, 0, 0, 1e9]]), r'polygon at 1e\+09, far outside'),
    'runs that end early': (_masks([10, 20]), 'counts do not add up'),
    'runs of less than nothing': (_masks([-10, 20]), 'counts do not add up'),
    'runs of another text': (_masks('abc!!'), 'neither whole numbers nor a text of COCO'),
    'runs of a cut text': (_masks('PP'), 'neither whole numbers nor a text of COCO'),
    'no annotations': (
        lambda root: _document(root, lambda d: d | {'annotations': []}),
        'annotations: the list is empty',
    ),
    'cut file': (
        lambda root: cut(root / 'annotations/instances_val2017.json'),
        'instances_val2017.json: cannot be read as JSON',
    ),
    'no file': (
        lambda root: (root / 'annotations/instances_val2017.json').unlink(),
        'instances_val2017.json: there is no such annotation file',
    ),
    'no categories': (
        lambda root: _document(root, lambda d: _without(d, 'categories')),
        "needs a list 'categories'",
    ),
    'image missing': (lambda root: _first(root).unlink(), r'\.jpg: cannot be read: No such file'),
    'image empty': (lambda root: _first(root).write_bytes(b''), r'\.jpg: is empty'),
    'image cut': (lambda root: cut(_first(root)), r'\.jpg: does not decode'),
    'image of another size': (
        lambda root: Image.new('RGB', (300, 200)).save(_first(root)),
        r'\.jpg: is 300 x 200 pixels .*its annotation is for',
    ),
    'turned by 180': (
        lambda root: tag_exif(_first(root), 3),
        r'\.jpg: has EXIF orientation 3.*either of the two',
    ),
    'turned by 90': (
        lambda root: tag_exif(_first(root), 8),
        r'\.jpg: has EXIF orientation 8.*stored pixels',
    ),
}


@pytest.mark.parametrize('case', BAD_COCO)
def test_annotations_that_are_refused(copy, case):
    root = copy('coco')
    change, message = BAD_COCO[case]
    change(root)

    refused('coco', root, message)

    assert found_by_check('coco', root, classes=10).problems


def test_image_that_only_the_annotations_name_is_told_when_the_record_is_prepared(copy):
    root = copy('coco')
    gone = _first(root)
    gone.unlink()
    cfg = load_config(DEMO / CONFIGS['coco'])
    set_data_root(cfg, str(root))

    with pytest.raises(MimBenchError, match=rf'{gone.name}: the data set names this file, which'):
        dataset_content(built(cfg, 'train_dataloader').dataset, evaluated=False)


def test_image_whose_annotation_proves_the_turn_is_read_turned(copy):
    root = copy('coco')
    with Image.open(_first(root)) as image:
        upright = np.asarray(image)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter clockwise gives the upright image
    Image.fromarray(np.rot90(upright)).save(_first(root), quality=100, exif=exif)

    launched('coco', root)  # the annotation file says the size of the turned image

    from mim_bench.data.image_file import read_image

    loaded = read_image(_first(root), 'proved', size=upright.shape[:2])[..., ::-1]
    assert np.abs(loaded.astype(int) - upright).mean() < 5
    assert found_by_check('coco', root, train=8, val=4, classes=10).problems == []


# --- own data


def test_own_class_folders_set_the_head(copy):
    root = copy('imagenet')
    for split in SPLITS:
        for folder in sorted((root / split).iterdir())[3:]:
            shutil.rmtree(folder)
    cfg = load_config(DEMO / CONFIGS['imagenet'])
    set_data_root(cfg, str(root))

    use_own_data(cfg, 'flowers')

    assert (cfg.model.head.num_classes, cfg.data_preprocessor.num_classes) == (3, 3)
    assert (cfg.protocol.task, cfg.protocol.name) == ('flowers-ft', 'flowers-toy-ft')
    assert len(launched('imagenet', root, own_data='flowers')['train'].metainfo['classes']) == 3


def test_own_categories_set_all_heads(copy):
    root = copy('coco')

    def three(document):
        kept = document['categories'][:3]
        ids = {c['id'] for c in kept}
        objects = [a for a in document['annotations'] if a['category_id'] in ids]
        return document | {'categories': kept, 'annotations': objects}

    _document(root, three)
    cfg = load_config(DEMO / CONFIGS['coco'])
    set_data_root(cfg, str(root))

    use_own_data(cfg, 'numbers')

    head = cfg.model.roi_head
    assert (head.bbox_head.num_classes, head.mask_head.num_classes) == (3, 3)
    assert cfg.protocol.task == 'numbers-mask-rcnn'
    assert cfg.val_dataloader.dataset.metainfo.classes == ('zero', 'one', 'two')
    launched('coco', root, own_data='numbers')


@pytest.mark.parametrize('names', [[*'abcdefghijkmn'], None], ids=['listed', 'numbered'])
def test_own_label_maps_set_the_head(copy, names):
    root = copy('ade20k')
    for path in (root / 'images').rglob('*.jpg'):
        resave(path, '.png')
    if names:
        (root / 'classes.txt').write_text('\n'.join(names))
    cfg = load_config(DEMO / CONFIGS['ade20k'])
    set_data_root(cfg, str(root))

    use_own_data(cfg, 'streets')

    number = len(names) if names else 11
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == number
    assert len(cfg.train_dataloader.dataset.metainfo.classes) == number
    launched('ade20k', root, own_data='streets')


def test_category_without_training_objects_is_told_at_the_start(copy):
    root = copy('coco')
    document = json.loads((root / 'annotations/instances_train2017.json').read_text())
    gone = document['categories'][2]
    _document(
        root,
        lambda d: {
            **d, 'annotations': [a for a in d['annotations'] if a['category_id'] != gone['id']],
        },
        'train',
    )  # fmt: skip

    dataset = launched('coco', root)['train']

    assert f'10 classes, no object of 1 ({gone["name"]}) of them' in str(summary_of(dataset))


@pytest.mark.parametrize('rank', [0, 1])
def test_class_that_no_label_map_shows_is_told_by_the_first_process(
    rank, copy, capsys, monkeypatch
):
    root = copy('ade20k')
    maps = root / 'annotations/training'
    for path in maps.glob('*.png'):
        with Image.open(path) as image:
            labels = np.array(image)
        labels[0, :11] = range(1, 12)
        Image.fromarray(np.where(labels == 3, 0, labels)).save(path)
    monkeypatch.setenv('RANK', str(rank))
    config = str(DEMO / CONFIGS['ade20k'])

    resolve(Launch(config, data_root=str(root), own_data='streets', launcher='pytorch'))

    told = f'{maps}: no label map shows 1 (class 3) of 11 classes.'
    assert (told in capsys.readouterr().out) == (rank == 0)


def test_labels_of_many_maps_are_read_once_until_one_changes(copy, monkeypatch):
    root = copy('ade20k')
    maps = root / 'annotations/training'
    for number in range(1000):
        Image.fromarray(np.uint8([[0, number % 12]])).save(maps / f'more_{number}.png')
    read = []
    monkeypatch.setattr(
        segmentation,
        'read_label_map',
        lambda path: read.append(path) or image_file.read_label_map(path),
    )

    with ThreadPoolExecutor(2) as pool:  # at once, as the processes of a run
        assert [*pool.map(segmentation.labels_in, [maps, maps])] == [[*range(12)]] * 2
    assert len(read) == len(set(read)) > 1000

    # Written in place, which does not change the time of the folder.
    Image.fromarray(np.uint8([[0, 12, 12]])).save(maps / 'more_0.png')
    assert segmentation.labels_in(maps) == [*range(13)]

    (maps / 'gone.png').symlink_to(maps / 'nowhere.png')
    assert segmentation.labels_in(maps, skips_bad=True) == [*range(13)]
    with pytest.raises(MimBenchError, match=r'gone\.png: cannot be read'):
        segmentation.labels_in(maps)


def test_part_of_the_categories_is_learned_by_name(copy):
    root = copy('coco')
    cfg = load_config(DEMO / CONFIGS['coco'])
    set_data_root(cfg, str(root))
    cfg.train_dataloader.dataset.metainfo = dict(classes=('seven', 'two'))

    dataset = built(cfg, 'train_dataloader').dataset

    document = json.loads((root / 'annotations/instances_train2017.json').read_text())
    ids = {c['name']: c['id'] for c in document['categories']}
    wanted = [a['category_id'] for a in document['annotations']]
    found = [
        i['bbox_label'] for n in range(len(dataset)) for i in dataset.get_data_info(n)['instances']
    ]
    assert found.count(0) == wanted.count(ids['seven'])
    assert found.count(1) == wanted.count(ids['two'])
    assert re.search(r'\d+ objects of other categories', str(summary_of(dataset)))
