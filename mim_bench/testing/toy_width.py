"""Any config at toy width on the embedded data: narrow layers, all of its depth and its stages."""

import sys
from collections.abc import Mapping, MutableMapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, Registry

from mim_bench.data.toy.digits import NAMES
from mim_bench.recipe.building import without_pretrained
from mim_bench.recipe.config import set_data_root
from mim_bench.recipe.tree import dictionaries
from mim_bench.suite.locations import DATA_ROOTS

WIDTH_FACTOR = 8
# Of images of segmentation and detection, which are large.
SIDE_FACTOR = 4
SMALLEST_SQUARE = 256
NUM_ITERS = 2
BATCH_SIZE = 2
NUM_COCO_CLASSES = 80
_CLASSES = {'CocoDataset': NUM_COCO_CLASSES, 'ImageNet': 1000, 'LabelFraction': 1000}
# Arguments that count channels; others (targets, classes, convolutions) stay.
_WIDTHS = {
    *('in_channels', 'out_channels', 'channels', 'feat_channels', 'conv_out_channels'),
    *('fc_out_channels', 'hid_channels', 'mid_channels', 'num_groups'),
    *('in_dims', 'input_features', 'embed_dim', 'embed_dims', 'decoder_embed_dim'),
}
# Arguments that are sides in pixels, of transforms, preprocessors, backbones, sliding windows.
_SIDES = {'scale', 'scales', 'crop_size', 'size', 'img_size', 'bias_img_size', 'stride'}
# Arguments that count proposals and what is drawn of them, of detectors.
_PROPOSALS = {'nms_pre', 'max_per_img', 'num'}
# What these give out is what the method predicts.
_TARGETS = ('LinearNeck',)


def toy_width(cfg: Config, toy_root: Path) -> Config:
    """A copy that trains two iterations and evaluates once, within seconds on a CPU.

    Layers have an eighth of their channels, detectors an eighth of their proposals, and images of
    segmentation and detection a quarter of their side. The number of layers and heads, the
    transforms and the classes are the config's own.

    Args:
        cfg: Config of any task.
        toy_root: What ``mim-bench data make-toy`` wrote.
    """
    cfg, _ = without_pretrained(cfg)
    with MODELS.switch_scope_and_registry(cfg.default_scope) as registry:
        _narrow(cfg.model, registry)
    if cfg.default_scope != 'mmpretrain':
        _shrink_images(cfg)
    _read_toy_data(cfg, toy_root)
    _shorten(cfg)
    return cfg


def _narrow(node: Any, registry: Registry) -> None:
    """Divide every width below a part of a model."""
    for part in dictionaries(node):
        if isinstance(part.get('arch'), str):
            part.arch = ConfigDict(_named_architecture(part, registry))
        if isinstance(part.get('arch'), MutableMapping):
            arch = part.arch
            if 'feedforward_channels' in arch:
                arch.feedforward_channels //= WIDTH_FACTOR
        for key in (_WIDTHS | _PROPOSALS) & set(part):
            is_target = key == 'out_channels' and part.get('type') in _TARGETS
            if not is_target:
                part[key] = _divided(part[key], WIDTH_FACTOR)


def _shrink_images(cfg: Config) -> None:
    loaders = [cfg.get(f'{name}_dataloader') for name in ('train', 'val', 'test')]
    model = cfg.model
    for part in dictionaries([*loaders, model.data_preprocessor, model.backbone, model.test_cfg]):
        for key in _SIDES & set(part):
            part[key] = _divided(part[key], SIDE_FACTOR)
    # Some recipes fill images up to one square; others to the coarsest stride, which stays.
    divisor = model.data_preprocessor.get('pad_size_divisor', 1)
    if divisor >= SMALLEST_SQUARE:
        model.data_preprocessor.pad_size_divisor = divisor // SIDE_FACTOR


def _divided(value: Any, factor: int) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_divided(v, factor) for v in value)
    # Images have 3 channels, and some scales are ratios.
    return value // factor if isinstance(value, int) and value > factor else value


def _named_architecture(backbone: Mapping, registry: Registry) -> dict:
    """The sizes that a name stands for, in mmpretrain's classes and ours."""
    kind = registry.get(backbone['type'])
    tables = [getattr(kind, 'arch_zoo', {})]
    tables += [getattr(sys.modules[k.__module__], 'ARCHITECTURES', {}) for k in kind.__mro__]
    name = backbone['arch']
    # A name may stand for another one first.
    name = next((t[name] for t in tables if isinstance(t.get(name), str)), name)
    # Our classes call mmpretrain's deit-small small.
    names = (name, name.removeprefix('deit-'))
    return deepcopy(next(table[n] for n in names for table in tables if n in table))


def _read_toy_data(cfg: Config, toy_root: Path) -> None:
    (folder,) = {root for root in DATA_ROOTS.values() if cfg.data_root == f'data/{root}/'}
    set_data_root(cfg, str(toy_root / folder))
    for loader in dictionaries(cfg._cfg_dict):
        if not {'dataset', 'batch_size'} <= set(loader):
            continue
        loader.update(num_workers=0, persistent_workers=False)
        dataset = _innermost(loader.dataset)
        if cfg.get('train_cfg') is not None:  # a probe needs neighbours
            # At least two images in training, for BatchNorm.
            loader.batch_size = BATCH_SIZE if loader is cfg.get('train_dataloader') else 1
            dataset.indices = loader.batch_size
        number = _CLASSES.get(dataset.type.rpartition('.')[2])
        if number == NUM_COCO_CLASSES:
            dataset.metainfo = dict(classes=NAMES)
        for part in dictionaries([cfg.model, cfg.get('data_preprocessor') or {}]):
            if number is not None and part.get('num_classes') == number:
                part.num_classes = len(NAMES)
    if cfg.get('train_dataloader') is not None and cfg.get('train_cfg') is not None:
        _innermost(cfg.train_dataloader.dataset).indices *= NUM_ITERS
        # No more than there are batches, or none would be left to step on.
        accumulated = min(cfg.optim_wrapper.get('accumulative_counts', 1), NUM_ITERS)
        cfg.optim_wrapper.accumulative_counts = accumulated
        cfg.effective_batch_size = cfg.train_dataloader.batch_size * accumulated


def _innermost(dataset: ConfigDict) -> ConfigDict:
    while 'dataset' in dataset:  # a wrapper
        dataset = dataset.dataset
    return dataset


def _shorten(cfg: Config) -> None:
    loop = cfg.get('train_cfg') or {}
    if 'max_iters' in loop:
        loop.max_iters = NUM_ITERS
        loop.pop('val_begin', None)
    elif loop:
        loop.max_epochs = 1
    if cfg.get('val_dataloader') is not None:
        loop.val_interval = loop.get('max_iters', 1)
    for scheduler in dictionaries(cfg.get('param_scheduler')):
        if 'warmup_epochs' in scheduler:
            scheduler.update(warmup_epochs=0)
            scheduler.pop('end', None)
    probe = cfg.get('test_cfg') or {}
    if 'classifier' in probe:
        probe.num_patches, probe.bank_dataloader.dataset.indices = 400, 4
        cfg.test_dataloader.dataset.indices = 2
        if probe.classifier.name == 'logreg':
            probe.classifier.update(strengths=[1.0], max_iter=3)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=-1, save_last=False)
