"""The settings of a config that decide its results, as plain data for the protocol's hash.

A protocol's hash covers the task, the protocol's name and version, every setting of the resolved
config, the content of the data sets and the start of the run. Two things stay out: arguments that a
checkpoint fixes (``FIXED_BY_CHECKPOINT`` beside each class), and ``HARMLESS``. A
key that is not classified is covered.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from mmengine.config import Config
from mmengine.registry import HOOKS

from mim_bench.recipe.by_backbone import (
    CHECKPOINT,
    expected_settings,
    is_fixed,
)
from mim_bench.recipe.config import RUNNER_KEYS, named_roots
from mim_bench.recipe.precision import AMP_WRAPPER, BFLOAT16_WRAPPER
from mim_bench.recipe.tree import plain, read_key
from mim_bench.recipe.tta import network_settings

# Dotted keys that cannot change a number, each with the reason. ``*`` is one part of a key, ``**``
# any number of them.
HARMLESS = {
    'work_dir experiment_name results_dir': 'where a run writes',
    'launcher model_wrapper_cfg find_unused_parameters env_cfg compile fsdp': 'how a run is '
    'executed',
    'cpu_products': 'two ways to multiply, equal to rounding',
    'log_level log_processor visualizer vis_backends track': 'what is logged',
    'randomness': 'the seed stands in the record; rows show the spread over seeds',
    'load_from resume backbone_checkpoint start_weights': 'the start is hashed by what it is',
    'allow_partial': 'the record says which share of the backbone was filled',
    'protocol pretraining': 'task, name, version and table are hashed beside the settings',
    'train_dataloader.skip_list': 'the record counts the images that were left out',
    'train_dataloader.loading': 'two ways to load the same pixels',
    'batch_plan is_changed limit lr_scaling': 'only describes; rate, images of an update and data '
    'sets are settings',
    'tta_model tta_pipeline': 'a test under augmentation has them as its model and pipeline',
    '**.data_root **.backend_args **.file_client_args': 'where data lie; their content is hashed',
    '**.num_workers **.persistent_workers **.pin_memory **.prefetch_factor': 'how fast data come',
    'train_cfg.val_interval train_cfg.val_begin train_cfg.dynamic_intervals': 'when a run looks',
    'test_cfg.**.cache_dir test_cfg.fitted': 'where features, probes lie',
    '**.outfile_prefix **.eval_backend': 'where results go, and which of two equal counters',
    'model.**.with_cp': 'computes the same twice, to save memory',
    'default_hooks.runtime_info default_hooks.timer default_hooks.logger '
    'default_hooks.checkpoint default_hooks.sampler_seed default_hooks.visualization': 'looks, '
    'logs or saves',
}
# Hooks that only observe, log, save or stop a run. A class of another package declares it by the
# attribute ``is_observer = True``.
HARMLESS_HOOKS = frozenset(
    (
        'mim_bench.CostLedgerHook',
        'mim_bench.FiniteLossHook',
        'mim_bench.KnnHook',
        'mim_bench.LabelRangeHook',
        'mim_bench.PredictionHook',
        'mim_bench.ReconstructionHook',
        'mim_bench.RecordHook',
    )
)
_MISSING = object()
# Arguments of necks and heads that always equal the width of their input.
_WIDTHS = frozenset(('in_channels', 'in_dims', 'embed_dims', 'input_features', 'num_patches'))
_HEADS = ('neck', 'head', 'decode_head', 'auxiliary_head')
_TEST_PARTS = ('test_dataloader', 'test_cfg', 'test_evaluator')


@dataclass(frozen=True)
class Settings:
    """The settings of a config that a protocol's hash covers, and those left out.

    Attributes:
        covered: Plain data: dictionaries, lists, texts, numbers, booleans, None.
        left_out: Reason by dotted key; a key stands for everything below it.
    """

    covered: dict[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)


def protocol_settings(cfg: Config) -> dict[str, Any]:
    """Read the covered settings of a config, equal for two configs only if they measure the same.

    Paths are relative to the data root. An ``effective_batch_size`` replaces images a GPU and
    forward passes an update.

    Args:
        cfg: The resolved config of a run.
    """
    return read_settings(cfg).covered


def read_settings(cfg: Config) -> Settings:
    """The settings of :func:`protocol_settings`, with those left out and the reasons."""
    content = plain(cfg.to_dict())
    reader = _Reader(cfg, _roots(content))
    covered = reader.read('', content)
    wrapper = covered.get('optim_wrapper') or {}
    if wrapper.get('type') == BFLOAT16_WRAPPER:  # equivalent to AmpOptimWrapper in bfloat16
        wrapper.update(type=AMP_WRAPPER, dtype='bfloat16')
    if missing := [key for key in reader.expected if read_key(cfg, key, _MISSING) is _MISSING]:
        covered['missing'] = sorted(missing)
    return Settings(covered, reader.left_out)


def protocol_content(
    cfg: Config, task: str, *, name: str, version: str, table: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The content that a protocol's hash covers.

    Args:
        cfg: The resolved config of a run. ``protocol_start`` and ``protocol_data``, if a launch
            has set them, are part of the content.
        task: Name of the task.
        name: Name of the protocol.
        version: Version of the protocol.
        table: ``by_backbone`` of the protocol.
    """
    return {
        'task': task,
        'name': name,
        'version': version,
        'by_backbone': plain(table or {}),
        'words': _own_words(cfg, table or {}),
        'start': plain(cfg.get('protocol_start') or {}),
        'data': plain(cfg.get('protocol_data') or {}),
        'settings': protocol_settings(cfg),
    }


def _own_words(cfg: Config, table: Mapping[str, Any]) -> dict[str, Any]:
    """Words of the config that stand for facts of the backbone."""
    of_table = [key for row in table.values() for key in row]
    words = (cfg.get('protocol') or {}).get('words') or {}
    inside = tuple(f'{key}.' for key in of_table)
    return {k: plain(v) for k, v in words.items() if k not in of_table and not k.startswith(inside)}


def plain_settings(node: Any, cfg: Config) -> Any:
    """A part of a config as plain data, without locations and reading speed of data."""
    return _Reader(cfg, data_roots(cfg)).read('part', plain(node))


def data_roots(cfg: Config) -> list[str]:
    """Data folders that a config names, each ending in a slash.

    The longest first, since one may be inside another.
    """
    return _roots(cfg.to_dict())


def _roots(content: Mapping[str, Any]) -> list[str]:
    roots = {root.rstrip('/') + '/' for root in named_roots(content) if isinstance(root, str)}
    return sorted(roots, key=len, reverse=True)


def below_roots(text: str, roots: Sequence[str]) -> str:
    """A path relative to the first root that contains it; other text unchanged."""
    for root in roots:
        if text.startswith(root):
            return text[len(root) :]
    return text


def _pattern(key: str) -> re.Pattern[str]:
    text = re.escape(key).replace(r'\*\*\.', r'(?:[^.]+\.)*').replace(r'\*', r'[^.]+')
    return re.compile(text)


_RULES = [(_pattern(key), why) for keys, why in HARMLESS.items() for key in keys.split()]


@cache
def _listed(key: str) -> str | None:
    return next((reason for pattern, reason in _RULES if pattern.fullmatch(key)), None)


class _Reader:
    """Reads a config, and leaves out harmless and fixed settings."""

    def __init__(self, cfg: Config, roots: Sequence[str]) -> None:
        self.cfg, self.roots = cfg, roots
        self.left_out: dict[str, str] = {}
        self.is_training = bool(cfg.get('train_cfg'))
        self.is_pretraining = str((cfg.get('protocol') or {}).get('task')).startswith('pretrain')

    def read(self, key: str, value: Any) -> Any:
        """The covered part of a value."""
        if isinstance(value, dict):
            items = ((f'{key}.{k}'.lstrip('.'), k, v) for k, v in value.items())
            return {k: self.read(path, v) for path, k, v in items if self._counts(path, v)}
        if isinstance(value, list):
            items = ((f'{key}.{i}', v) for i, v in enumerate(value))
            return [self.read(path, v) for path, v in items if self._counts(path, v)]
        if isinstance(value, str):
            return below_roots(value, self.roots)
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if abs(value) < float('inf') else str(value)
        # Classes and functions by name; their repr contains a memory address.
        name = getattr(value, '__qualname__', None)
        return f'{value.__module__}.{name}' if name else type(value).__qualname__

    def _counts(self, key: str, value: Any) -> bool:
        reason = self._reason(key, value)
        if reason:
            self.left_out[key] = reason
        return not reason

    def _reason(self, key: str, value: Any) -> str | None:
        """The reason for leaving a key out; None if it is covered."""
        first, _, rest = key.partition('.')
        if not rest:
            if key not in RUNNER_KEYS:
                return 'a variable of the config file; what it sets stands where it is used'
            if key.startswith('protocol_'):
                return 'hashed beside the settings'
            if key in _TEST_PARTS and self.is_training:
                return 'a training does not test'
        if reason := _listed(key) or self._reason_of_evaluated_batch(key, value):
            return reason
        is_hook = first == 'custom_hooks' and isinstance(value, dict) and '.' not in rest
        if is_hook and _observes(value.get('type')):
            return 'a hook that looks, logs, saves or stops'
        return (
            self._reason_of_update(key)
            or (self._reason_in_model(key) if first == 'model' else None)
            or self._reason_of_table(key, value)
        )

    def _reason_of_evaluated_batch(self, key: str, value: Any) -> str | None:
        """The reason for leaving out a batch size of an evaluation.

        Detectors pad images to the largest of a batch, which changes what they find.
        """
        is_padded = self.cfg.get('default_scope') == 'mmdet' and value != 1
        if key in ('val_dataloader.batch_size', 'test_dataloader.batch_size') and not is_padded:
            return 'each image is evaluated by itself'
        return None

    def _reason_of_update(self, key: str) -> str | None:
        """The reason for leaving out a key of how GPUs share an update; None for other keys."""
        if key == 'optim_wrapper.loss_scale' and self.cfg.optim_wrapper.get('dtype') == 'bfloat16':
            return 'nothing underflows in bfloat16 that would need one'
        if key in ('train_dataloader.batch_size', 'optim_wrapper.accumulative_counts') and (
            self.cfg.get('effective_batch_size') is not None
        ):
            return 'effective_batch_size says the images of an update'
        return None

    def _reason_in_model(self, key: str) -> str | None:
        if self.is_pretraining:
            return None
        parts = key.removeprefix('model.').removeprefix('module.').split('.')
        if parts[0] == 'backbone' and len(parts) == 2:
            if parts[1] == 'type' or is_fixed(self._backbone, parts[1]):
                return 'a checkpoint fixes it'
        elif parts[0] in _HEADS and parts[-1] in _WIDTHS:
            return 'must equal the width of what it reads'
        return None

    def _reason_of_table(self, key: str, value: Any) -> str | None:
        """The reason if the protocol's table or the backbone gives this very value; else None."""
        expected = self.expected.get(key, _MISSING)
        if expected is _MISSING or (expected != CHECKPOINT and _differ(expected, value)):
            return None
        return 'as the table of the protocol says for this backbone'

    @cached_property
    def _backbone(self) -> Mapping[str, Any]:
        return network_settings(self.cfg).get('backbone') or {}

    @cached_property
    def expected(self) -> dict[str, Any]:
        """Values that the backbone decides, by dotted key."""
        return plain(expected_settings(self.cfg))


def _observes(hook: Any) -> bool:
    """Whether a hook, by its name in the config, changes no result."""
    is_named = isinstance(hook, str)
    return hook in HARMLESS_HOOKS or (is_named and getattr(HOOKS.get(hook), 'is_observer', False))


def _differ(one: Any, other: Any) -> bool:
    """Whether two values differ as JSON: True differs from 1, and 1 from 1.0."""
    return json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)
