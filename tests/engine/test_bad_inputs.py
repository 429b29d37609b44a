"""Data as users have it: the right number or one message that names the file, in three layouts.

A case changes a copy of the embedded data; then the data sets of the demo's configs are built,
compared with each other and the head, and every sample is read: what a run does at its start.
Classes in other numbers, orders and writings are in test_class_numbering.py.
"""

import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mim_bench.data.summary import summary_of
from mim_bench.engine.data_sets import check_data_sets
from mim_bench.errors import MimBenchError
from mim_bench.recipe.config import load_config, set_data_root
from mim_bench.recipe.data_content import dataset_content
from mim_bench.testing.bad_inputs import (
    CONFIGS,
    DEMO,
    Heads,
    built,
    cut,
    found_by_check,
    launched,
    refused,
    resave,
    tag_exif,
)

# --- class folders


def _folder(root, split='train'):
    return sorted(path for path in (root / split).iterdir() if path.name.startswith('n'))[0]


def _image(root):
    return sorted(_folder(root).iterdir())[0]


def _hide(root):
    for split in ('train', 'val'):
        hidden = root / split / '.ipynb_checkpoints'
        hidden.mkdir()
        shutil.copy(_image(root), hidden / 'copy.JPEG')
        shutil.copy(_image(root), _folder(root, split) / '._apple.JPEG')
        (root / split / '__MACOSX').mkdir()
        (root / split / '.DS_Store').touch()


FOLDERS_THAT_WORK = {
    'hidden': _hide,
    'bmp': lambda root: resave(_image(root), '.bmp'),
    'tif': lambda root: resave(_image(root), '.tif'),
    'a link above itself': lambda root: (_folder(root) / 'up').symlink_to(root / 'train'),
    'exif turned by 180': lambda root: tag_exif(_image(root), 3),
    'exif turned by 90': lambda root: tag_exif(_image(root), 6),
    'odd name': lambda root: _image(root).rename(_image(root).with_name('größe [1] #?.JPEG')),
    'name that is no UTF-8': lambda root: os.rename(
        _image(root), os.fsencode(_image(root).parent) + b'/caf\xe9.JPEG'
    ),
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
    assert dataset_content(data['train'], evaluated=True)['images'] == 40
    assert found_by_check('imagenet', root, train=40, val=20, classes=10).problems == []


def test_hidden_files_are_said_by_the_run_and_the_check(copy):
    root = copy('imagenet')
    _hide(root)

    data = launched('imagenet', root)

    assert '4 hidden files or folders' in str(summary_of(data['train']))
    report = found_by_check('imagenet', root)
    assert 'train/.ipynb_checkpoints' in report.left_out
    assert report.counts['val hidden, left out'] == 4


BAD_FOLDERS = {
    'class gone from val': (
        lambda root: shutil.rmtree(_folder(root, 'val')),
        r'differently.*n00000000\) only in the training.*have 10 \(.*have 9 \(',
    ),
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
    'cut file': (lambda root: cut(_image(root)), r'\.JPEG: does not decode.*truncated'),
    'no image at all': (
        lambda root: _image(root).write_bytes(b'<html>404</html>'),
        r'\.JPEG: does not decode',
    ),
    'line of pixels': (
        lambda root: Image.new('RGB', (5000, 1)).save(_image(root)),
        r'\.JPEG: is 5000 x 1 pixels .* at most 200 times as long',
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
    folders = sorted((root / 'train').iterdir())
    _, *paths = sorted((root / 'train').glob('*/*'))
    lines = [f'{p.parent.name}/{p.name} {folders.index(p.parent)}' for p in paths]
    (root / 'meta').mkdir()
    (root / 'meta/train.txt').write_text('\n'.join([line, *lines]))
    cfg = load_config(DEMO / CONFIGS['imagenet'])
    set_data_root(cfg, str(root))
    settings = cfg.train_dataloader
    settings['dataset']['ann_file'] = 'meta/train.txt'
    with pytest.raises(MimBenchError, match=message):  # noqa: PT012
        loader = built({'default_scope': 'mmpretrain', 'loader': settings}, 'loader')
        loop = SimpleNamespace(dataloader=loader)
        check_data_sets(
            SimpleNamespace(train_loop=loop, val_loop=None, test_loop=None, model=Heads(10))
        )
        loader.dataset[0]


def test_files_of_another_ending_are_counted_by_the_check(copy):
    root = copy('imagenet')
    resave(_image(root), '.webp')

    assert found_by_check('imagenet', root).counts['train files of another ending, left out'] == 1


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


def _ade(root, kind='annotations', split='training'):
    return sorted((root / kind / split).iterdir())[0]


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
}


@pytest.mark.parametrize('case', MAPS_THAT_WORK)
def test_label_maps_that_work(copy, case):
    root = copy('ade20k')
    MAPS_THAT_WORK[case](root)

    data = launched('ade20k', root)

    assert (len(data['train']), len(data['val'])) == (8, 4)
    assert found_by_check('ade20k', root, train=8, val=4, classes=11).problems == []


def _one_ending(kind, split, ending):
    return lambda root: resave(_ade(root, kind, split), ending)


def _names(content):
    return lambda root: (root / 'classes.txt').write_bytes(content)


# By case: the change, and what a run with --own-data says; None: it runs.
OWN_MAPS = {
    'names with a byte-order mark': (
        _names('\ufeffa\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk'.encode()),
        None,
    ),
    'names in UTF-16': (_names('a\nb\n'.encode('utf-16')), r'classes\.txt: is no text in UTF-8'),
    'a name twice': (_names(b'a\n' * 11), r"classes\.txt: 'a' stands on several lines"),
    'too few names': (
        _names(b'a\nb\n'),
        r'annotations/training: its highest label is 11, the number of classes 2 \(by classes\.txt',
    ),
    'labels that count from 0': (
        lambda root: (
            _names(b'a\nb\nc\n')(root),
            _labels(lambda a, path: _save((a % 3).astype('uint8'), path))(root),
        ),
        r'training: its highest label is 2, and classes\.txt names 3 .* The first class is label 1',
    ),
    'another label to validate': (
        _labels(lambda a, path: 'val' not in path.name and _save(a.clip(0, 10), path)),
        r'annotations/validation: its highest label is 11, the number of classes 10 ',
    ),
    'no label to validate': (
        _labels(lambda a, path: 'val' in path.name and _save(a * 0, path)),
        r'annotations/validation: its label maps hold no label',
    ),
    'capitals': (
        lambda root: _ade(root, 'images').rename(_ade(root, 'images').with_suffix('.JPG')),
        None,
    ),
    'another ending': (_one_ending('images', 'training', '.png'), r'the endings \.jpg, \.png'),
    'another ending to validate': (
        lambda root: [resave(path, '.png') for path in (root / 'images/validation').iterdir()],
        'can use none of its images',
    ),
    'a map of another format': (
        _one_ending('annotations', 'training', '.tif'),
        '1 of 8 images have no label map',
    ),
    'a map in capitals': (
        lambda root: _ade(root).rename(_ade(root).with_suffix('.PNG')),
        '1 of 8 images have no label map',
    ),
}


@pytest.mark.parametrize('case', OWN_MAPS)
def test_own_label_maps_are_read_and_checked_alike(copy, case):
    root = copy('ade20k')
    change, message = OWN_MAPS[case]
    change(root)

    if message is None:
        launched('ade20k', root, 'streets')
    else:
        with pytest.raises(MimBenchError, match=message):
            launched('ade20k', root, 'streets')

    found = found_by_check('ade20k', root, train=8, val=4, classes=11).problems
    assert bool(found) == (message is not None)


def test_one_class_is_refused_where_every_answer_would_be_right(copy):
    root = copy('imagenet')
    for split in ('train', 'val'):
        for folder in sorted((root / split).iterdir())[1:]:
            shutil.rmtree(folder)
    with pytest.raises(MimBenchError, match=r'have the one class .n00000000., so every answer'):
        launched('imagenet', root, 'flowers')


def _same_turn(root):
    """Pixels as they were drawn on, a tag that turns them by half: no size can tell."""
    tag_exif(_ade(root, 'images'), 3)


def _quarter(root):
    """An annotation of the stored pixels, a tag that turns them by a quarter."""
    tag_exif(_ade(root, 'images'), 6)


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
    'map cut': (lambda root: cut(_ade(root)), r'\.png: does not decode'),
    'map empty': (lambda root: _ade(root).write_bytes(b''), r'\.png: is empty'),
    'image cut': (lambda root: cut(_ade(root, 'images')), r'\.jpg: does not decode'),
    'no images': (
        lambda root: [path.unlink() for path in (root / 'images/training').iterdir()],
        'can use none of its images',
    ),
    'images of another ending': (
        lambda root: [resave(path, '.png') for path in (root / 'images/training').iterdir()],
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


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (lambda stems: stems[1:4], None),
        (lambda stems: [*stems[:2], 'absent'], r'1 of 3 images have no label map: .*absent\.png'),
        (lambda stems: [], r'train\.txt: is empty'),
        (None, r'train\.txt: cannot be read'),
    ],
    ids=['three', 'no file', 'empty', 'no list'],
)
def test_list_of_images_with_label_maps_is_read_as_it_says(copy, names, message):
    root = copy('ade20k')
    stems = [path.stem for path in sorted((root / 'images/training').iterdir())]
    if names:
        (root / 'train.txt').write_text('\n'.join(names(stems)))
    cfg = load_config(DEMO / CONFIGS['ade20k'])
    set_data_root(cfg, str(root))
    cfg.train_dataloader.dataset.ann_file = 'train.txt'

    if message:
        with pytest.raises(MimBenchError, match=message):
            built(cfg, 'train_dataloader')
    else:
        dataset = built(cfg, 'train_dataloader').dataset
        found = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
        assert [os.path.basename(path)[:-4] for path in found] == stems[1:4]
