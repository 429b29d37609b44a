"""Tests of a fine-tuned classifier or of fitted probes on other test sets of ImageNet's classes."""

from collections.abc import Sequence

from mmengine.config import Config

from mim_bench.data.imagenet_variants import REAL_LABELS, VARIANTS, class_marks, variant_root
from mim_bench.errors import ConfigError, did_you_mean

FITTED_LOOP = 'mim_bench.FittedProbeTestLoop'
# Settings of a data set that depend on its images.
_REPLACED = ('type', 'data_root', 'data_prefix', 'ann_file', 'split', 'metainfo', 'classes')
# Arguments of a probe's test that also apply to another test set.
_OF_PROBES = ('probes', 'pooling', 'fp16', 'feature_dtype', 'layers')


def use_variant(cfg: Config, name: str, data_root: str | None = None) -> None:
    """Change the test of a classifier or of probes to a test set of robustness.

    Transforms and network stay. Predictions are limited to the classes of the set. The task gets
    the name of the set, the protocol the names of both.

    Args:
        cfg: Changed in place. Probes still need the work directory of their test, as
            ``test_cfg.fitted``.
        name: A name of :data:`mim_bench.data.imagenet_variants.VARIANTS`.
        data_root: Folder or archive of the set, or its parent folder; None: below ``data/``.

    Raises:
        ConfigError: The set is unknown, or the config tests no classifier.
    """
    if name not in VARIANTS:
        raise ConfigError(
            f'--variant {name}: there is no such test set.{did_you_mean(name, VARIANTS)} Known: '
            f'{", ".join(VARIANTS)}.'
        )
    variant, head = VARIANTS[name], (cfg.get('model') or {}).get('head') or {}
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    probing = cfg.get('test_cfg') or {}
    is_probe = 'probes' in probing
    if not (head.get('num_classes') or is_probe) or not dataset:
        raise ConfigError(
            f'{cfg.filename}: --variant {name} tests a fine-tuned classifier or probes, and the '
            'config has no head or no test_dataloader. Use the config of a fine-tuning or probe.'
        )
    root = f'{variant_root(data_root or f"data/{variant.folder}", name)}/'
    kept = {key: value for key, value in dataset.items() if key not in _REPLACED}
    cfg.data_root = root
    cfg.test_dataloader.dataset = dict(
        type='mim_bench.ImageNetVariant',
        variant=name,
        num_classes=head.get('num_classes') or len(class_marks()),
        data_root=root,
        **kept,
    )
    cfg.test_evaluator = _evaluator(name, root)
    protocol = cfg.setdefault('protocol', {})
    tasks = protocol.pop('tasks', None)
    protocol['name'] = f'{protocol.get("name", "unnamed")}-{name}'
    if is_probe:
        same = {key: probing[key] for key in _OF_PROBES if key in probing}
        cfg.test_cfg = dict(type=FITTED_LOOP, **same)
        of_all = [f'{probe}_top1' for probe in probing['probes']]
        of_probes = tasks or [{'task': protocol.pop('task'), 'metrics': of_all}]
        protocol['tasks'] = [
            dict(task=variant_task(name, t['task']), metrics=variant_metrics(name, t['metrics']))
            for t in of_probes
        ]
        return
    if name == 'imagenet-c':
        packing = cfg.test_dataloader.dataset.pipeline[-1]
        packing['algorithm_keys'] = [*packing.get('algorithm_keys', ()), 'corruption']
    protocol['task'] = name


def variant_task(name: str, task: str) -> str:
    """The task of a test set: ``imagenet-a`` for a fine-tuned model, ``imagenet-a-knn`` for k-NN.

    Args:
        name: Name of the set.
        task: Task of the fine-tuning or of a probe, such as ``in1k-knn``.
    """
    probe = task.removeprefix('in1k-')
    return name if probe == 'ft' else f'{name}-{probe}'


def variant_metrics(name: str, metrics: Sequence[str]) -> list[str]:
    """The metrics of a test set from those of ImageNet; ImageNet-C's is its mean error.

    Args:
        name: Name of the set.
        metrics: Metrics on ImageNet such as ``top1`` and ``top5``, or ``knn_top1``.
    """
    if name == 'imagenet-c':
        top1 = [metric for metric in metrics if metric.endswith('top1')]
        return [own for one in top1 for own in (f'{one.removesuffix("top1")}mCE', one)]
    return [metric for metric in metrics if metric.endswith(('top1', 'top5'))]


def _evaluator(name: str, root: str) -> dict:
    if name == 'imagenet-c':
        return dict(type='mim_bench.CorruptionError')
    evaluator = dict(type='mim_bench.Accuracy', topk=(1, 5))
    if (classes := VARIANTS[name].classes) is not None:
        evaluator['classes'] = list(classes)
    if name == 'imagenet-real':
        evaluator['labels_file'] = root + REAL_LABELS
    return evaluator
