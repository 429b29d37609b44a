"""Fits a config to the classes of a user's data set in a known layout."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mim_bench.data.archives import is_file, is_folder
from mim_bench.data.coco_annotations import read_document
from mim_bench.data.listing import class_folders, image_endings, list_files
from mim_bench.data.segmentation import (
    CLASSES_FILE,
    absent_classes,
    label_fault,
    labels_in,
    read_class_names,
)
from mim_bench.data.summary import listed
from mim_bench.errors import ConfigError, DataError
from mim_bench.recipe.config import image_folders
from mim_bench.recipe.tree import dictionaries

_NAME = re.compile(r'[a-z0-9][a-z0-9_.]*')
_FOLDERS = ('mim_bench.ImageNet', 'mim_bench.CustomDataset', 'mim_bench.LabelFraction')
_SEGMENTATION = ('mim_bench.ADE20KDataset', 'mim_bench.BaseSegDataset')
_COCO = 'mim_bench.CocoDataset'
_PLACES = ('train_dataloader', 'val_dataloader', 'test_dataloader', 'test_cfg', 'custom_hooks')
# Prefixes of the names of tasks and protocols that name a data set.
_PUBLIC = ('in1k', 'ade20k', 'coco')
# With this many classes or fewer there is no top-5 accuracy.
_TOO_FEW_FOR_TOP5 = 5


def use_own_data(cfg: Config, name: str, *, skips_bad: bool = False) -> str | None:
    """Fit a config to the classes of the training data in its data root.

    The classes are those of the class folders, of the categories of the training annotations, or
    of ``classes.txt`` beside ``images`` (one name a line, the first is label 1; without the file
    labels are numbered). Data sets, heads and the names of task and protocol are set accordingly.

    Args:
        cfg: Config with its data root set; changed in place.
        name: Name of the data for task and protocol: ``in1k-ft`` becomes ``NAME-ft``.
        skips_bad: Whether the training goes on without files that cannot be read.

    Returns:
        Which classes no label map shows, as a note for the user; None if there are none.

    Raises:
        ConfigError: The name is invalid, or the config reads data of another layout.
        DataError: The data have no classes, or other ones than ``classes.txt``.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f'--own-data {name!r}: give a name of small letters, digits, dots and underscores.'
        )
    if name in _PUBLIC:
        raise ConfigError(
            f'--own-data {name}: is the name of a public data set, whose tasks yours would be '
            'called after. Give your data another one.'
        )
    data_sets = _data_sets(*map(cfg.get, _PLACES))
    # What a model or a probe learns from.
    bank = (cfg.get('test_cfg') or {}).get('bank_dataloader')
    training = next(iter(_data_sets(cfg.get('train_dataloader'), bank)), None)
    if training is None:
        raise ConfigError(
            f'{cfg.filename}: --own-data needs a config that reads ImageNet, ADE20K or COCO, and '
            'this one reads none. Use another config.'
        )
    note = None
    if training.type in _SEGMENTATION:
        names, note = _classes_of_maps(training, data_sets, skips_bad)
    else:
        names = _classes(training)
    if not names:
        raise DataError(
            f'{training.data_root}: the training data have no classes. `mim-bench data check` '
            'looks at every file.'
        )
    suffix = _suffix(training) if training.type in _SEGMENTATION else None
    for dataset in data_sets:
        dataset.metainfo = dict(classes=tuple(names))
        if suffix is not None:
            dataset.update(
                type='mim_bench.BaseSegDataset',
                img_suffix=suffix,
                seg_map_suffix='.png',
                reduce_zero_label=True,
            )
    _set_head(cfg, len(names))
    _rename(cfg, name, len(names))
    return note


def _data_sets(*parts: Any) -> list[ConfigDict]:
    """Data sets of the three layouts at and below parts of a config."""
    layouts = (*_FOLDERS, *_SEGMENTATION, _COCO)
    return [node for node in dictionaries(parts) if node.get('type') in layouts]


def _classes(dataset: ConfigDict) -> list[str]:
    root = Path(dataset.get('data_root') or '')
    if dataset.type in _FOLDERS:
        folder = Path(root, *image_folders(dataset))
        if not is_folder(folder):
            raise DataError(f'{folder}: is not a folder. Give the data with --data-root.')
        return class_folders(folder)
    document = read_document(str(root / dataset.ann_file))
    return [str(category.get('name')) for category in document['categories']]


def _classes_of_maps(
    training: ConfigDict, data_sets: Sequence[ConfigDict], skips_bad: bool
) -> tuple[list[str], str | None]:
    """Classes of label maps, by ``classes.txt`` or by the highest label; a note on absent ones.

    Raises:
        DataError: The maps have other labels than the classes, or no label at all.
    """
    root, learned = Path(training.get('data_root') or ''), _folder_of_maps(training)
    with_maps = [dataset for dataset in data_sets if dataset.data_prefix.get('seg_map_path')]
    folders = dict.fromkeys([learned, *map(_folder_of_maps, with_maps)])
    found = {f: labels_in(f, skips_bad=skips_bad and f == learned) for f in folders}
    if is_file(root / CLASSES_FILE):
        names = read_class_names(root)
    else:
        names = [f'class {number}' for number in range(1, max(found[learned], default=0) + 1)]
    for folder, labels in found.items():
        if fault := label_fault(labels, len(names), is_learned=folder == learned):
            raise DataError(f'{folder}: {fault}')
    absent = absent_classes(found[learned], names)
    note = f'{learned}: no label map shows {listed(absent)} of {len(names)} classes.'
    return names, note if absent else None


def _folder_of_maps(dataset: ConfigDict) -> Path:
    return Path(dataset.get('data_root') or '') / dataset.data_prefix['seg_map_path']


def _suffix(dataset: ConfigDict) -> str:
    """The file name suffix of the images, which mmseg requires.

    Raises:
        DataError: There is no image, or there are several suffixes.
    """
    folder = Path(dataset.get('data_root') or '') / dataset.data_prefix['img_path']
    files = list_files(folder).files
    endings = image_endings(files)
    if len(endings) != 1:
        raise DataError(
            f'{folder}: its images have the endings {", ".join(endings) or "none"}; the layout '
            'needs one. Convert them to one format.'
        )
    written = {Path(file).suffix for file in files}
    return written.pop() if len(written) == 1 else endings[0]


def _set_head(cfg: Config, num_classes: int) -> None:
    """Give the heads and the preprocessor another number of classes.

    A stuff branch keeps its own number. Class weights are removed, since they belong to the former
    classes.
    """
    before = next(_numbers(cfg.get('model')), None)
    if before is None:  # a probe or a pre-training
        return
    for node in (cfg.model, cfg.get('data_preprocessor')):
        _replace_number(node, before, num_classes)


def _numbers(node: Any, key: str = 'model') -> Iterator[int]:
    """Numbers of classes of the heads of a model, the main head's first."""
    if isinstance(node, list | tuple):
        for value in node:
            yield from _numbers(value, key)
    elif isinstance(node, dict) and key != 'semantic_head':
        if isinstance(node.get('num_classes'), int) and key.endswith('head'):
            yield node['num_classes']
        for name in sorted(node, key=lambda name: name not in ('decode_head', 'head', 'roi_head')):
            yield from _numbers(node[name], name)


def _replace_number(node: Any, before: int, after: int) -> None:
    if isinstance(node, list | tuple):
        for value in node:
            _replace_number(value, before, after)
    elif isinstance(node, dict):
        if node.get('num_classes') == before:
            node['num_classes'] = after
        if isinstance(node.get('class_weight'), list | tuple) and before != after:
            node['class_weight'] = None
        for key, value in node.items():
            if key != 'semantic_head':
                _replace_number(value, before, after)


def _rename(cfg: Config, name: str, num_classes: int) -> None:
    protocol = cfg.get('protocol')
    if not protocol:
        return
    tasks = protocol.get('tasks') or [protocol]
    for task in tasks:
        if task.get('task'):
            task['task'] = _renamed(task['task'], name)
        if task.get('metrics') and num_classes <= _TOO_FEW_FOR_TOP5:
            task['metrics'] = [m for m in task['metrics'] if not m.endswith('top5')]
    protocol['name'] = _renamed(protocol['name'], name)


def _renamed(text: str, name: str) -> str:
    first, dash, rest = text.partition('-')
    if first == 'pretrain':
        return text
    return f'{name}-{rest}' if dash and first in _PUBLIC else f'{name}-{text}'
