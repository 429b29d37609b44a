"""Data as users have it: the right number or one message that names the file, in three layouts.

A case changes a copy of the embedded data; then the data sets of the demo's configs are built,
compared with each other and the head, and every sample is read: what a run does at its start.
"""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.registry import METRICS
from PIL import Image
from torch import nn

from mim_bench.data.checks import CHECKS, CheckOptions
from mim_bench.data.summary import summary_of
from mim_bench.engine.config_layout import import_layout
from mim_bench.engine.data_sets import check_data_sets
from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import MimBenchError
from mim_bench.recipe.building import library_scope
from mim_bench.recipe.config import load_config, set_data_root
from mim_bench.recipe.own_data import use_own_data

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
CONFIGS = {
    'imagenet': 'finetune_vit-toy_1xb64-coslr-4e_toy-in1k-64px.py',
    'ade20k': 'upernet_vit-toy_1xb4-200i_toy-ade20k-128px.py',
    'coco': 'mask-rcnn_vit-toy_1xb4-3e_toy-coco-128px.py',
}
FOLDERS = {'imagenet': 'imagenet', 'ade20k': 'ade/ADEChallengeData2016', 'coco': 'coco'}
SPLITS = {'train': 8, 'val': 4}


class _Heads(nn.Module):
    """A model of which only the number of classes counts."""

    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Identity()
        self.head.num_classes = num_classes


def launched(layout, root, own_data=None, lists=False):
    """The data sets of a run, compared and read through; raises what the run would raise."""
    cfg = load_config(DEMO / CONFIGS[layout])
    set_data_root(cfg, str(root))
    if lists:
        for split in SPLITS:
            cfg[f'{split}_dataloader'].dataset.ann_file = f'meta/{split}.txt'
    if own_data:
        use_own_data(cfg, own_data)
    model = cfg.model
    head = model.get('decode_head') or model.get('head') or model.roi_head.bbox_head
    loops = {name: SimpleNamespace(dataloader=built(cfg, f'{name}_dataloader')) for name in SPLITS}
    runner = SimpleNamespace(
        train_loop=loops['train'],
        val_loop=loops['val'],
        test_loop=None,
        model=_Heads(head.num_classes),
    )
    check_data_sets(runner)
    for loop in loops.values():
        dataset = loop.dataloader.dataset
        for index in range(len(dataset)):
            dataset[index]
    return {name: loop.dataloader.dataset for name, loop in loops.items()}


def built(cfg, name):
    """A loader of a config, in the scope of its library."""
    import_layout()
    with library_scope(cfg):
        return BenchRunner.build_dataloader(cfg[name])


@pytest.fixture
def copy(toy_root, tmp_path):
    def make(layout):
        # Without lists, so that the class folders count.
        ignored = shutil.ignore_patterns('stuffthingmaps', 'meta')
        return shutil.copytree(toy_root / FOLDERS[layout], tmp_path / layout, ignore=ignored)

    return make


def refused(layout, root, message, **settings):
    with pytest.raises(MimBenchError, match=message) as caught:
        launched(layout, root, **settings)
    assert 'Traceback' not in str(caught.value)
    assert '\n' not in str(caught.value)


def found_by_check(layout, root, **options):
    return CHECKS[layout](root, CheckOptions(expect=options or {'classes': 10}))


# --- class folders


def _folder(root, split='train', number=0):
    return sorted(path for path in (root / split).iterdir() if path.name.startswith('n'))[number]


def _image(root, number=0):
    return sorted(_folder(root).iterdir())[number]


def _resave(path, ending):
    with Image.open(path) as image:
        image.load()
    path.unlink()
    image.save(path.with_suffix(ending))


def _turned(path, tag):
    """Store the pixels so that the tag turns them back to what they are now."""
    with Image.open(path) as image:
        image.load()
    exif = Image.Exif()
    exif[0x0112] = tag
    image.save(path, quality=95, exif=exif)


def _hide(root):
    for split in ('train', 'val'):
        hidden = root / split / '.ipynb_checkpoints'
        hidden.mkdir()
        shutil.copy(_image(root), hidden / 'copy.JPEG')
        shutil.copy(_image(root), _folder(root, split) / '._apple.JPEG')
        (root / split / '__MACOSX').mkdir()
        (root / split / '.DS_Store').touch()


def _link(root):
    for split in ('train', 'val'):
        target = root / f'{split}-elsewhere'
        (root / split).rename(target)
        (root / split).mkdir()
        for folder in target.iterdir():
            (root / split / folder.name).symlink_to(folder, target_is_directory=True)


def _capital(root):
    folder = _folder(root, 'val')
    folder.rename(folder.with_name(folder.name.upper()))


def _permute(root):
    """The same names of folders; what they hold is another class."""
    (root / 'meta').mkdir()
    for split in ('train', 'val'):
        names = sorted(folder.name for folder in (root / split).iterdir())
        numbers = {name: place for place, name in enumerate(names)}
        if split == 'val':
            numbers = dict(zip(names, range(len(names) - 1, -1, -1), strict=True))
        lines = [
            f'{path.relative_to(root / split).as_posix()} {numbers[path.parent.name]}'
            for path in sorted((root / split).glob('*/*'))
        ]
        (root / 'meta' / f'{split}.txt').write_text('\n'.join(lines))


FOLDERS_THAT_WORK = {
    'hidden': _hide,
    'symlinked classes': _link,
    'bmp': lambda root: _resave(_image(root), '.bmp'),
    'tif': lambda root: _resave(_image(root), '.tif'),
    'a link above itself': lambda root: (_folder(root) / 'up').symlink_to(root / 'train'),
    'exif turned by 180': lambda root: _turned(_image(root), 3),
    'exif turned by 90': lambda root: _turned(_image(root), 6),
    'odd name': lambda root: _image(root).rename(_image(root).with_name('größe [1] #?.JPEG')),
    'trailing bytes': lambda root: _image(root).write_bytes(_image(root).read_bytes() + b'\0' * 9),
}


@pytest.mark.parametrize('case', FOLDERS_THAT_WORK)
def test_class_folders_that_work(copy, case):
    root = copy('imagenet')
    FOLDERS_THAT_WORK[case](root)

    data = launched('imagenet', root)

    assert len(data['train']) == 40
    assert summary_of(data['train']).names == summary_of(data['val']).names
    assert data['train'].get_data_info(0)['gt_label'] == 0
    assert found_by_check('imagenet', root, train=40, val=20, classes=10).problems == []


def test_hidden_files_are_said_by_the_run_and_the_check(copy):
    root = copy('imagenet')
    _hide(root)

    data = launched('imagenet', root)

    assert '4 hidden files or folders' in str(summary_of(data['train']))
    report = found_by_check('imagenet', root)
    assert 'train/.ipynb_checkpoints' in report.left_out
    assert report.counts['val hidden, left out'] == 4


def _cut(path, keep=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def _more(root, split):
    shutil.copytree(_folder(root, split), root / split / 'n00000099')


BAD_FOLDERS = {
    'class only in val': (lambda root: _more(root, 'val'), 'n00000099'),
    'class only in train': (
        lambda root: _more(root, 'train'),
        r'n00000099\) only in the first',
    ),
    'class in both that the head lacks': (
        lambda root: [_more(root, split) for split in ('train', 'val')],
        r'have 11 \(.*head of the model 10',
    ),
    'class gone from both': (
        lambda root: [shutil.rmtree(_folder(root, split)) for split in ('train', 'val')],
        r'have 9 \(.*head of the model 10',
    ),
    'class gone from val': (
        lambda root: shutil.rmtree(_folder(root, 'val')),
        r'differently.*n00000000\) only in the first.*have 10 \(.*have 9 \(',
    ),
    'capitals in val': (_capital, 'names differ by capitals'),
    'class without an image': (
        lambda root: [path.unlink() for path in _folder(root).iterdir()],
        'have no image of 1 .n00000000',
    ),
    'empty training set': (
        lambda root: [path.unlink() for path in (root / 'train').glob('*/*')],
        'can use none of its images',
    ),
    'only files that no loader reads': (
        lambda root: [p.rename(p.with_suffix('.webp')) for p in (root / 'train').glob('*/*')],
        '40 files with another ending',
    ),
    'no train folder': (lambda root: shutil.rmtree(root / 'train'), 'train: is not a folder'),
    'empty file': (lambda root: _image(root).write_bytes(b''), r'\.JPEG: is empty'),
    'cut file': (lambda root: _cut(_image(root)), r'\.JPEG: does not decode.*truncated'),
    'no image at all': (
        lambda root: _image(root).write_bytes(b'<html>404</html>'),
        r'\.JPEG: does not decode',
    ),
    'dead link': (
        lambda root: (_folder(root) / 'gone.JPEG').symlink_to(root / 'nowhere.JPEG'),
        'gone.JPEG: cannot be read: No such file',
    ),
}


@pytest.mark.parametrize('case', BAD_FOLDERS)
def test_class_folders_that_are_refused(copy, case):
    root = copy('imagenet')
    change, message = BAD_FOLDERS[case]
    change(root)

    refused('imagenet', root, message)

    if case == 'no train folder':
        return
    assert found_by_check('imagenet', root, classes=10).problems


def test_lists_that_number_the_same_folders_differently_are_refused(copy):
    root = copy('imagenet')
    _permute(root)

    refused('imagenet', root, 'differently: the order differs from number 0 on', lists=True)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('n00000000/n00000000_0.JPEG', r"train.txt: line 1 is 'n00000000/n00000000_0.JPEG'"),
        ('n00000000/absent.JPEG 0', 'absent.JPEG: cannot be read'),
        ('n00000000/n00000000_0.JPEG 12', 'have the label 12, the head of the model 10'),
    ],
    ids=['no label', 'no file', 'no class'],
)
def test_list_of_images_that_is_wrong_is_refused(copy, line, message):
    root = copy('imagenet')
    _permute(root)
    _, *lines = (root / 'meta/train.txt').read_text().splitlines()
    (root / 'meta/train.txt').write_text('\n'.join([line, *lines]))
    cfg = load_config(DEMO / CONFIGS['imagenet'])
    set_data_root(cfg, str(root))
    settings = cfg.train_dataloader
    settings['dataset']['ann_file'] = 'meta/train.txt'
    with pytest.raises(MimBenchError, match=message):  # noqa: PT012
        loader = built({'default_scope': 'mmpretrain', 'loader': settings}, 'loader')
        loop = SimpleNamespace(dataloader=loader)
        check_data_sets(
            SimpleNamespace(train_loop=loop, val_loop=None, test_loop=None, model=_Heads(10))
        )
        loader.dataset[0]


def test_exif_does_not_turn_an_image_of_a_class(copy):
    root = copy('imagenet')
    stored = np.asarray(Image.open(_image(root)))
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(stored).save(_image(root), quality=100, exif=exif)
    cfg = load_config(DEMO / CONFIGS['imagenet'])
    (step,) = [s for s in cfg.train_pipeline if s.type == 'mim_bench.LoadImage']

    from mim_bench.registry import TRANSFORMS

    loaded = TRANSFORMS.build(step)({'img_path': str(_image(root))})['img'][..., ::-1]

    assert np.abs(loaded.astype(int) - stored).mean() < 5


# --- images and label maps


def _ade(root, kind='annotations', split='training', number=0):
    return sorted((root / kind / split).iterdir())[number]


def _labels(change):
    def apply(root):
        for path in (root / 'annotations').rglob('*.png'):
            with Image.open(path) as image:
                labels = np.asarray(image)
            change(labels, path)

    return apply


def _save(labels, path):
    Image.fromarray(labels).save(path)


MAPS_THAT_WORK = {
    'sixteen bits': _labels(lambda a, path: _save(a.astype('uint16'), path)),
    'grey in place of a palette': _labels(lambda a, path: _save(a.astype('uint8'), path)),
    'hidden image': lambda root: shutil.copy(
        _ade(root, 'images'), root / 'images/training/._x.jpg'
    ),
    'hidden folder': lambda root: shutil.copytree(
        root / 'images/validation', root / 'images/training/.ipynb_checkpoints'
    ),
    'linked folder': lambda root: _linked(root / 'images/training'),
}


def _linked(folder):
    target = folder.with_name('elsewhere')
    folder.rename(target)
    folder.symlink_to(target, target_is_directory=True)


@pytest.mark.parametrize('case', MAPS_THAT_WORK)
def test_label_maps_that_work(copy, case):
    root = copy('ade20k')
    MAPS_THAT_WORK[case](root)

    data = launched('ade20k', root)

    assert (len(data['train']), len(data['val'])) == (8, 4)


def _same_turn(root):
    """Pixels as they were drawn on, a tag that turns them by half: no size can tell."""
    _turned(_ade(root, 'images'), 3)


def _quarter(root):
    """An annotation of the stored pixels, a tag that turns them by a quarter."""
    _turned(_ade(root, 'images'), 6)


BAD_MAPS = {
    'masks of 0 and 255': (
        _labels(lambda a, path: _save(np.where(a > 1, 255, 0).astype('uint8'), path)),
        r'\.png: holds the label 255',
    ),
    'counted from 0': (
        _labels(lambda a, path: _save(np.where(a > 0, a - 1, 255).astype('uint8'), path)),
        r'\.png: holds the label 255',
    ),
    'colours': (
        _labels(lambda a, path: _save(np.stack([a * 20] * 3, -1).astype('uint8'), path)),
        r'\.png: has 3 channels',
    ),
    'grey stored as colours': (
        _labels(lambda a, path: _save(np.stack([a] * 3, -1).astype('uint8'), path)),
        r'\.png: has 3 channels',
    ),
    'grey with alpha': (
        _labels(lambda a, path: Image.fromarray(a.astype('uint8')).convert('LA').save(path)),
        r'\.png: has 2 channels',
    ),
    'one bit': (_labels(lambda a, path: _save(a > 1, path)), r'\.png: has values of bool'),
    'labels over 255': (
        _labels(lambda a, path: _save(a.astype('uint16') + 300, path)),
        r'\.png: holds the label 3\d\d; labels are 0 to 255',
    ),
    'another size': (
        lambda root: _save(np.asarray(Image.open(_ade(root)))[:50, :60], _ade(root)),
        r'its annotation is for 60 x 50|is 60 x 50 pixels',
    ),
    'map missing': (lambda root: _ade(root).unlink(), '1 of 8 images have no label map'),
    'map cut': (lambda root: _cut(_ade(root)), r'\.png: does not decode'),
    'map empty': (lambda root: _ade(root).write_bytes(b''), r'\.png: is empty'),
    'image cut': (lambda root: _cut(_ade(root, 'images')), r'\.jpg: does not decode'),
    'no images': (
        lambda root: [path.unlink() for path in (root / 'images/training').iterdir()],
        'can use none of its images',
    ),
    'images of another ending': (
        lambda root: [_resave(path, '.png') for path in (root / 'images/training').iterdir()],
        r'8 files with another ending than \.jpg',
    ),
    'turned by 180': (_same_turn, r'\.jpg: has EXIF orientation 3.*either of the two'),
    'turned by 90': (_quarter, r'\.jpg: has EXIF orientation 6.*stored pixels'),
}


@pytest.mark.parametrize('case', BAD_MAPS)
def test_label_maps_that_are_refused(copy, case):
    root = copy('ade20k')
    change, message = BAD_MAPS[case]
    change(root)

    refused('ade20k', root, message)

    if case == 'images of another ending':
        return
    assert found_by_check('ade20k', root, classes=11).problems


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


COCO_THAT_WORKS = {
    'runs': _runs,
    'gaps in the ids': _gaps,
    'categories of val in another order': _categories(lambda c: c[::-1], 'val'),
    'categories of train in another order': _categories(lambda c: c[3:] + c[:3], 'train'),
    'one category more': _categories(lambda c: [*c, {'id': 900, 'name': 'ten'}]),
    'area 0': _objects(lambda a: a | {'area': 0}),
    'no area': _objects(lambda a: _without(a, 'area')),
    'no iscrowd': _objects(lambda a: _without(a, 'iscrowd')),
    'hidden image': lambda root: shutil.copy(_first(root), root / 'train2017/._x.jpg'),
    'linked images': lambda root: _linked(root / 'train2017'),
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


BAD_COCO = {
    'capitals': (
        _categories(lambda c: [x | {'name': x['name'].capitalize()} for x in c]),
        'names differ by capitals',
    ),
    'capitals in val': (
        _categories(lambda c: [x | {'name': x['name'].capitalize()} for x in c], 'val'),
        'instances_val2017.json: has no category .*names differ by capitals',
    ),
    'three of ten': (
        _categories(lambda c: c[:3]),
        r'annotation .* has category .*not in the file|has 10 \(.*the file has 3 \(',
    ),
    'one less in val': (
        _categories(lambda c: c[1:], 'val'),
        r'instances_val2017.json: (has no category|annotation)',
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
    'boxes only': (_objects(lambda a: _without(a, 'segmentation')), 'has no segmentation'),
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
    'no annotations': (
        lambda root: _document(root, lambda d: d | {'annotations': []}),
        'annotations: the list is empty',
    ),
    'cut file': (
        lambda root: _cut(root / 'annotations/instances_val2017.json'),
        'instances_val2017.json: is no JSON',
    ),
    'no file': (
        lambda root: (root / 'annotations/instances_val2017.json').unlink(),
        'instances_val2017.json: there is no such annotation file',
    ),
    'no categories': (
        lambda root: _document(root, lambda d: _without(d, 'categories')),
        "has no list 'categories'",
    ),
    'image missing': (lambda root: _first(root).unlink(), r'\.jpg: cannot be read: No such file'),
    'image empty': (lambda root: _first(root).write_bytes(b''), r'\.jpg: is empty'),
    'image cut': (lambda root: _cut(_first(root)), r'\.jpg: does not decode'),
    'image of another size': (
        lambda root: Image.new('RGB', (300, 200)).save(_first(root)),
        r'\.jpg: is 300 x 200 pixels .*its annotation is for',
    ),
    'turned by 180': (
        lambda root: _turned(_first(root), 3),
        r'\.jpg: has EXIF orientation 3.*either of the two',
    ),
    'turned by 90': (
        lambda root: _turned(_first(root), 8),
        r'\.jpg: has EXIF orientation 8.*stored pixels',
    ),
}


@pytest.mark.parametrize('case', BAD_COCO)
def test_annotations_that_are_refused(copy, case):
    root = copy('coco')
    change, message = BAD_COCO[case]
    change(root)

    refused('coco', root, message)

    if case != 'capitals':  # both files agree; only the config has other names
        assert found_by_check('coco', root, classes=10).problems


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


@pytest.mark.parametrize('names', [['a', 'b', *'cdefghijkl'], None], ids=['listed', 'numbered'])
def test_own_label_maps_set_the_head(copy, names):
    root = copy('ade20k')
    for path in (root / 'images').rglob('*.jpg'):
        _resave(path, '.png')
    if names:
        (root / 'classes.txt').write_text('\n'.join(names))
    cfg = load_config(DEMO / CONFIGS['ade20k'])
    set_data_root(cfg, str(root))

    use_own_data(cfg, 'streets')

    number = len(names) if names else 11
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == number
    assert len(cfg.train_dataloader.dataset.metainfo.classes) == number
    launched('ade20k', root, own_data='streets')


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
