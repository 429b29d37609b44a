"""Tests of a fine-tuned classifier on another test set of ImageNet's classes."""

from mmengine.config import Config

from mim_bench.data.imagenet_variants import REAL_LABELS, VARIANTS, variant_root
from mim_bench.errors import ConfigError
from mim_bench.results.validation import near

# What a data set of a config says of its own images.
_REPLACED = ('type', 'data_root', 'data_prefix', 'ann_file', 'split', 'metainfo', 'classes')


def use_variant(cfg: Config, name: str, data_root: str | None = None) -> None:
    """Change the test of a classifier to a test set of robustness.

    The transforms and the network stay. Predictions are limited to the classes of the set, and
    the task becomes the set, under a protocol with the name of both.

    Args:
        cfg: Changed in place.
        name: A name of :data:`mim_bench.data.imagenet_variants.VARIANTS`.
        data_root: Folder or archive of the set, or the one above; below ``data/`` if None.

    Raises:
        ConfigError: There is no such set, or the config tests no classifier.
    """
    if name not in VARIANTS:
        raise ConfigError(
            f'--variant {name}: there is no such test set.{near(name, list(VARIANTS))} Known: '
            f'{", ".join(VARIANTS)}.'
        )
    variant, head = VARIANTS[name], (cfg.get('model') or {}).get('head') or {}
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    if not head.get('num_classes') or not dataset:
        raise ConfigError(
            f'{cfg.filename}: --variant {name} tests a fine-tuned classifier, and the config has '
            'no head or no test_dataloader. Use the config of its fine-tuning.'
        )
    root = f'{variant_root(data_root or f"data/{variant.folder}", name)}/'
    kept = {key: value for key, value in dataset.items() if key not in _REPLACED}
    cfg.data_root = root
    cfg.test_dataloader.dataset = dict(
        type='mim_bench.ImageNetVariant',
        variant=name,
        num_classes=head['num_classes'],
        data_root=root,
        **kept,
    )
    cfg.test_evaluator = _evaluator(name, root)
    if name == 'imagenet-c':
        packing = cfg.test_dataloader.dataset.pipeline[-1]
        packing['algorithm_keys'] = [*packing.get('algorithm_keys', ()), 'corruption']
    protocol = cfg.setdefault('protocol', {})
    protocol['task'] = name
    protocol['name'] = f'{protocol.get("name", "unnamed")}-{name}'
    protocol.pop('tasks', None)


def _evaluator(name: str, root: str) -> dict:
    if name == 'imagenet-c':
        return dict(type='mim_bench.CorruptionError')
    evaluator = dict(type='mim_bench.Accuracy', topk=(1, 5))
    if (classes := VARIANTS[name].classes) is not None:
        evaluator['classes'] = list(classes)
    if name == 'imagenet-real':
        evaluator['labels_file'] = root + REAL_LABELS
    return evaluator
