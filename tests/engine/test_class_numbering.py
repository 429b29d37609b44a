"""How a run numbers its classes when names come in another order, number, writing or place.

Each case changes training, validation or both; the run (the comparison at its start and the labels
of every batch) and `mim-bench data check` either give each image the class that its file says, or
refuse the data.
"""

import json
import shutil
from contextlib import nullcontext
from copy import deepcopy
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mim_bench.data.summary import Summary, summary_of
from mim_bench.engine.data_sets import check_data_sets
from mim_bench.errors import MimBenchError
from mim_bench.recipe.config import load_config, set_data_root
from mim_bench.testing.bad_inputs import (
    CONFIGS,
    DEMO,
    SPLITS,
    Heads,
    found_by_check,
    launched_config,
    link,
)

WHERE = {'train': ('train',), 'val': ('val',), 'both': ('train', 'val')}
ADE_FOLDERS = {'train': 'training', 'val': 'validation'}
SAME = None  # the data are read, each image as its own class
CHECKED = {
    'imagenet': {'train': 40, 'val': 20, 'classes': 10},
    'ade20k': {'train': 8, 'val': 4, 'classes': 11},
    'coco': {'train': 8, 'val': 4, 'classes': 10},
}

# --- ImageNet: the folders of a split


def _first(root, split):
    return min(path for path in (root / split).iterdir() if path.name.startswith('n'))


def _list_order(root, split, cfg):
    """Lists of both splits; that of a changed split numbers the folders from the end."""
    (root / 'meta').mkdir(exist_ok=True)
    for each in SPLITS:
        file = root / f'meta/{each}.txt'
        if each != split and file.exists():
            continue
        names = sorted(folder.name for folder in (root / each).iterdir())
        if each == split:
            names.reverse()
        paths = sorted((root / each).glob('*/*'))
        lines = [f'{p.parent.name}/{p.name} {names.index(p.parent.name)}' for p in paths]
        file.write_text('\n'.join(lines))
        cfg[f'{each}_dataloader'].dataset.ann_file = f'meta/{each}.txt'


def _link_folders(root, split, cfg):
    for folder in sorted((root / split).iterdir()):
        target = root / f'elsewhere-{split}-{folder.name}'
        folder.rename(target)
        folder.symlink_to(target, target_is_directory=True)


# --- ADE20K: names stand in the config, numbers in the maps


def _names(change):
    def apply(root, split, cfg):
        cfg[f'{split}_dataloader'].dataset.metainfo = dict(classes=tuple(change(ADE_NAMES)))

    return apply


ADE_NAMES = tuple(f'class {number}' for number in range(11))


def _labels(change):
    def apply(root, split, cfg):
        for path in (root / 'annotations' / ADE_FOLDERS[split]).iterdir():
            labels = np.asarray(Image.open(path)).copy()
            change(labels)
            Image.fromarray(labels).save(path)

    return apply


def _paint(labels):
    labels[:4, :4] = 12


def _erase(labels):
    labels[labels == 5] = 0


# --- COCO: the categories of an annotation file


def _document(change):
    def apply(root, split, cfg):
        path = root / f'annotations/instances_{split}2017.json'
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return apply


def _subset(document):
    gone = document['categories'][0]['id']
    return document | {
        'categories': document['categories'][1:],
        'annotations': [a for a in document['annotations'] if a['category_id'] != gone],
    }


def _superset(document):
    more = document['annotations'][0] | {'id': 90000, 'category_id': 900}
    return document | {
        'categories': [{'id': 900, 'name': 'ten'}, *document['categories']],
        'annotations': [*document['annotations'], more],
    }


def _turned(document):
    return document | {'categories': document['categories'][::-1]}


def _capitals(document):
    named = [c | {'name': c['name'].capitalize()} for c in document['categories']]
    return document | {'categories': named}


def _hidden_copy(folder):
    hidden = folder / '.ipynb_checkpoints'
    hidden.mkdir()
    shutil.copy(min(path for path in folder.rglob('*.*') if path.is_file()), hidden)


# By layout and kind: the change, and what is to happen in training, validation, both.
CASES = {
    ('imagenet', 'order'): (_list_order, ['the order differs'] * 2 + [SAME]),
    ('imagenet', 'subset'): (
        lambda root, split, cfg: shutil.rmtree(_first(root, split)),
        [
            'n00000000. only in the validation',
            'n00000000. only in the training',
            'head of the model 10',
        ],
    ),
    ('imagenet', 'superset'): (
        lambda root, split, cfg: shutil.copytree(_first(root, split), root / split / 'n00000099'),
        [
            'n00000099. only in the training',
            'n00000099. only in the validation',
            'head of the model 10',
        ],
    ),
    ('imagenet', 'capitals'): (
        lambda root, split, cfg: _first(root, split).rename(root / split / 'N00000000'),
        ['differ by capitals', 'differ by capitals', SAME],
    ),
    ('imagenet', 'hidden'): (lambda root, split, cfg: _hidden_copy(root / split), [SAME] * 3),
    ('imagenet', 'symlink'): (_link_folders, [SAME] * 3),
    ('ade20k', 'order'): (_names(lambda n: n[::-1]), ['the order differs'] * 2 + [SAME]),
    ('ade20k', 'subset'): (_labels(_erase), [SAME] * 3),
    ('ade20k', 'superset'): (_labels(_paint), ['holds the label 11, but the model has 11'] * 3),
    ('ade20k', 'capitals'): (
        _names(lambda n: [name.upper() for name in n]),
        ['differ by capitals'] * 2 + [SAME],
    ),
    ('ade20k', 'hidden'): (
        lambda root, split, cfg: _hidden_copy(root / 'images' / ADE_FOLDERS[split]),
        [SAME] * 3,
    ),
    ('ade20k', 'symlink'): (
        lambda root, split, cfg: link(root / 'images' / ADE_FOLDERS[split], split),
        [SAME] * 3,
    ),
    ('coco', 'order'): (_document(_turned), [SAME] * 3),
    ('coco', 'subset'): (_document(_subset), ["has no category 'zero'"] * 3),
    ('coco', 'superset'): (_document(_superset), [SAME] * 3),
    ('coco', 'capitals'): (_document(_capitals), ['differ by capitals'] * 3),
    ('coco', 'hidden'): (lambda root, split, cfg: _hidden_copy(root / f'{split}2017'), [SAME] * 3),
    ('coco', 'symlink'): (lambda root, split, cfg: link(root / f'{split}2017', split), [SAME] * 3),
}
# What only the config knows: the check sees files, which agree.
UNSEEN = {
    ('ade20k', 'order'), ('ade20k', 'capitals'), ('coco', 'capitals', 'both'),
}  # fmt: skip
# What the check says of data that a run reads: other categories than expected.
SAID = {('coco', 'superset')}


@cache
def _config(layout):
    return load_config(DEMO / CONFIGS[layout])


@pytest.mark.parametrize('where', WHERE)
@pytest.mark.parametrize(('layout', 'kind'), CASES)
def test_classes_keep_their_names_or_are_refused(copy, layout, kind, where):
    root = copy(layout)
    cfg = deepcopy(_config(layout))
    set_data_root(cfg, str(root))
    if layout == 'ade20k':
        for split in SPLITS:
            cfg[f'{split}_dataloader'].dataset.metainfo = dict(classes=ADE_NAMES)
    change, outcomes = CASES[layout, kind]
    wanted = outcomes[list(WHERE).index(where)]
    for split in WHERE[where]:
        change(root, split, cfg)

    if wanted is SAME:
        for split, dataset in launched_config(cfg, read=False).items():
            MEANING[layout](dataset, root, split)
    else:
        with pytest.raises(MimBenchError, match=wanted):
            launched_config(cfg, read=kind == 'superset' and layout == 'ade20k')

    is_seen = not UNSEEN & {(layout, kind), (layout, kind, where)}
    problems = found_by_check(layout, root, **CHECKED[layout]).problems
    assert bool(problems) == ((wanted is not SAME and is_seen) or (layout, kind) in SAID), problems


def _folders_mean(dataset, root, split):
    names = summary_of(dataset).names
    for index in range(len(dataset)):
        sample = dataset.get_data_info(index)
        assert sample['img_path'].split('/')[-2] == names[sample['gt_label']]


def _maps_mean(dataset, root, split):
    assert len(summary_of(dataset).names) == len(ADE_NAMES)
    assert not any('/.' in dataset.get_data_info(i)['img_path'] for i in range(len(dataset)))


def _categories_mean(dataset, root, split):
    document = json.loads((root / f'annotations/instances_{split}2017.json').read_text())
    names = {category['id']: category['name'] for category in document['categories']}
    used = dataset.metainfo['classes']
    for index in range(len(dataset)):
        sample = dataset.get_data_info(index)
        objects = [a for a in document['annotations'] if a['image_id'] == sample['img_id']]
        wanted = sorted(n for a in objects if (n := names[a['category_id']]) in used)
        assert sorted(used[i['bbox_label']] for i in sample['instances']) == wanted


MEANING = {'imagenet': _folders_mean, 'ade20k': _maps_mean, 'coco': _categories_mean}


def _numbered(class_images):
    data = SimpleNamespace(summary=Summary('list.txt', 9, class_images=class_images))
    return SimpleNamespace(dataset=data)


@pytest.mark.parametrize(
    ('bank', 'test', 'message'),
    [
        ({0: 3, 1: 2, 4: 1}, {0: 1}, r'have the label 4 and no image of 2 \(2, 3\) of the labels'),
        ({0: 1, 1: 1}, {0: 1, 2: 1}, r'have the label 2, the bank data \(list.txt\) 0 to 1 only'),
        ({0: 1, 1: 1}, {1: 2}, None),
    ],
)
def test_labels_of_a_probe_without_names_are_compared_by_number(bank, test, message):
    loop = SimpleNamespace(dataloader=_numbered(test), bank_dataloader=_numbered(bank))
    runner = SimpleNamespace(train_loop=None, val_loop=None, test_loop=loop, model=Heads(None))

    with pytest.raises(MimBenchError, match=message) if message else nullcontext():
        check_data_sets(runner)
