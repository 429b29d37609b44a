"""The pieces of a run's record that follow from its runner and its config."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from mmengine.config import Config
from mmengine.runner import IterBasedTrainLoop, Runner

from mim_bench.data.checks.options import REAL_COUNTS
from mim_bench.engine.scalars import collect_curves
from mim_bench.errors import ConfigError, DeviceError, MimBenchError, OutOfMemoryError
from mim_bench.files.atomic import write_atomically
from mim_bench.files.hashing import protocol_hash
from mim_bench.recipe.precision import precision_of
from mim_bench.recipe.protocol import protocol_content
from mim_bench.recipe.tree import dictionaries
from mim_bench.results.record import (
    Artifacts,
    Batch,
    Cause,
    ConfigFile,
    Picture,
    Protocol,
    data_set_of,
)
from mim_bench.results.store import CURVES_FILE, write_curves

ERROR_LENGTH = 4000
LAST_ITERATIONS = 50
# Settings of where and how a run was launched, not of what it computes.
_LAUNCH_KEYS = {
    'work_dir',
    'load_from',
    'resume',
    'start_weights',
    'launcher',
    'experiment_name',
    'backbone_checkpoint',
    'allow_partial',
    'batch_plan',
    'is_changed',
    'limit',
    'model_wrapper_cfg',
    'track',
}
# Detectors do not train on the images without a box, 1 % of COCO.
_LEAST_SHARE = 0.98
# What ReconstructionHook and PredictionHook leave, by kind: files and caption. A run has those of
# its own kind.
_PICTURES = {
    'reconstruction': ('reconstructions/*.png', 'Input, masks, targets, predictions'),
    'segmentation': ('predictions/segmentation_*.png', 'Input, truth, predicted'),
    'detection': ('predictions/detection_*.png', 'Input, truth, predicted'),
}


def make_protocol(settings: Mapping[str, Any], task: str, cfg: Config) -> Protocol:
    """The protocol of a task, with the hash of what the run really does.

    Args:
        settings: A config's ``protocol``: ``name``, ``version``, ``tier``, and ``by_backbone``.
        task: Name of the task.
        cfg: The resolved config of the run.

    Returns:
        With the tier ``smoke`` if the data are not the whole public set that the task names.

    Raises:
        ConfigError: A key is missing or unknown.
    """
    needed = {'name', 'version', 'tier'}
    if needed - set(settings) or set(settings) - needed - {'by_backbone', 'words'}:
        raise ConfigError(
            f'RecordHook: protocol of {task!r} has the keys {sorted(settings)}. It needs name, '
            'version and tier, and may have by_backbone. The hash is computed from the config.'
        )
    content = content_of(settings, task, cfg)
    tier = 'smoke' if other_data(task, cfg) else settings['tier']
    return Protocol(settings['name'], str(settings['version']), protocol_hash(content), tier)


def other_data(task: str, cfg: Config) -> str:
    """What tells the data of a run from the whole public set that a task names; '' if nothing.

    Args:
        task: Name of the task.
        cfg: The resolved config, with its ``protocol_data`` where the data sets are known.
    """
    name = data_set_of(task)
    whole = REAL_COUNTS.get('imagenet' if name == 'in1k' else name)
    if whole is None or task.startswith('imagenet-'):  # own data, other test sets
        return ''
    found = {part: data['images'] for part, data in (cfg.get('protocol_data') or {}).items()}
    is_part = any(
        node.get('type') == 'mim_bench.LabelFraction'
        for node in dictionaries(cfg.get('train_dataloader'))
    )
    if is_part:
        found.pop('train', None)
    trained = min(found.get(part, whole['train']) for part in ('train', 'bank'))
    if trained < _LEAST_SHARE * whole['train']:
        return f'{trained:,} training images, {name} has {whole["train"]:,}'
    if (evaluated := found.get('evaluated', whole['val'])) != whole['val']:
        return f'{evaluated:,} images to evaluate, {name} has {whole["val"]:,}'
    return ''


def content_of(settings: Mapping[str, Any], task: str, cfg: Config) -> dict[str, Any]:
    """What the hash of a protocol covers; arguments as of :func:`make_protocol`."""
    return protocol_content(
        cfg,
        task,
        name=settings['name'],
        version=str(settings['version']),
        table=settings.get('by_backbone'),
    )


def split_protocol(cfg: Config) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The settings of a config's protocol, and the tasks that it measures; without a name: None."""
    protocol = dict(cfg.get('protocol') or {})
    if several := protocol.pop('tasks', None):
        return protocol, [dict(task) for task in several]
    return protocol, [{'task': protocol.pop('task', None)}]


def protocol_tasks(cfg: Config) -> list[tuple[str, dict[str, Any]]]:
    """Every task that a config measures, with the settings of its protocol."""
    protocol, tasks = split_protocol(cfg)
    protocol.pop('task', None)
    return [(task['task'], {**protocol, **(task.get('protocol') or {})}) for task in tasks]


def config_file(cfg: Config) -> ConfigFile:
    """Path (from ``configs/`` on) and SHA-256 of the resolved config.

    The hash leaves out where and how the run was launched.
    """
    parts = PurePath(cfg.filename or '').parts
    if 'configs' in parts:
        parts = parts[len(parts) - 1 - parts[::-1].index('configs') :]
    else:
        parts = parts[-1:]
    content = {key: value for key, value in cfg.items() if key not in _LAUNCH_KEYS}
    hooks = content.get('custom_hooks') or []
    content['custom_hooks'] = [h for h in hooks if not is_record_hook(h)]
    # Not the text that the run's folder holds, which changes with the release of yapf.
    text = json.dumps(content, sort_keys=True, default=repr)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ConfigFile('/'.join(parts), digest, cfg.get('is_changed'))


def is_record_hook(config: Any) -> bool:
    """Whether a hook's config is that of the record hook, which says where results go."""
    return str(config.get('type', '')).rpartition('.')[2] == 'RecordHook'


def training_facts(cfg: Config) -> dict[str, Any]:
    """Fields of a training's record: its precision, and its batch where the launch planned one.

    Args:
        cfg: The resolved config; that of a test has no optimiser, and gives nothing.
    """
    if not cfg.get('optim_wrapper'):
        return {}
    plan = cfg.get('batch_plan')
    return {'precision': precision_of(cfg), 'batch': Batch(**plan) if plan else None}


def training_metrics(runner: Runner) -> dict[str, float]:
    """What the message hub knows after a training, by the keys of the metric table.

    ``loss`` is the mean over the last epoch, in iteration-based runs over the last 50
    iterations; ``knn/...`` the last that was measured. The hub is part of checkpoints, so a
    run that was resumed at its end has them too.
    """
    scalars = runner.message_hub.log_scalars
    found = {key: scalars[key].current() for key in ('knn/top1', 'knn/top5') if key in scalars}
    if 'train/loss' in scalars:
        is_by_iter = isinstance(runner.train_loop, IterBasedTrainLoop)
        window = LAST_ITERATIONS if is_by_iter else len(runner.train_dataloader)
        found['loss'] = scalars['train/loss'].mean(window)
    return {key: float(value) for key, value in found.items()}


def save_artifacts(work_dir: Path, folder: Path) -> Artifacts:
    """Write the curves of a run and copy its newest picture into the folder of its record.

    Raises:
        MimBenchError: The disk refuses.
    """
    curves = collect_curves(work_dir)
    if curves:
        write_curves(curves, folder)
    pictures = []
    for kind, (pattern, caption) in _PICTURES.items():
        found = sorted(work_dir.glob(pattern), key=lambda p: (p.stat().st_mtime_ns, p.name))
        for path in found[-1:]:
            relative = f'pictures/{kind}-0{path.suffix}'
            write_atomically({folder / relative: path.read_bytes()})
            pictures.append(Picture(relative, kind, caption))
    return Artifacts(CURVES_FILE if curves else None, pictures)


def error_text(error: BaseException) -> str:
    """One message; errors that are not the user's keep their type's name."""
    text = str(error)
    if not isinstance(error, MimBenchError) or not text:
        text = f'{type(error).__name__}: {text}'
    return text[:ERROR_LENGTH]


def cause_of(error: BaseException) -> Cause:
    """What ended a run that failed by an error of its own."""
    if isinstance(error, OutOfMemoryError | MemoryError):
        return 'out-of-memory'
    return 'device' if isinstance(error, DeviceError) else 'error'
