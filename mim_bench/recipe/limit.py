"""Limits a run to a few images of each data set, and marks its protocol."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mim_bench.errors import ConfigError
from mim_bench.recipe.tree import add_to_names, named_dictionaries

if TYPE_CHECKING:
    from mmengine.config import Config

_WORD = re.compile(r'(\d+)(?::(\d+))?')


@dataclass(frozen=True)
class Limit:
    """How many images of each data set a run may use.

    Attributes:
        number: Number of images, 1 or more.
        seed: Seed of a random sample; None: the first images.
    """

    number: int
    seed: int | None = None

    @classmethod
    def parse(cls, text: str) -> 'Limit':
        """Read ``64`` (the first 64) or ``64:0`` (a sample of 64 drawn with seed 0).

        Raises:
            ConfigError: The text has neither form.
        """
        match = _WORD.fullmatch(text)
        if match is None or not int(match[1]):
            raise ConfigError(
                f'--limit {text}: give the number of images, as 64, or number and seed of a '
                'sample, as 64:0.'
            )
        return cls(int(match[1]), None if match[2] is None else int(match[2]))

    def __str__(self) -> str:
        return str(self.number) if self.seed is None else f'{self.number}:{self.seed}'

    @property
    def suffix(self) -> str:
        """Suffix of the names of a protocol and of a run, for example ``-limit64``."""
        return f'-limit{self.number}' + ('' if self.seed is None else f's{self.seed}')


def apply_limit(cfg: 'Config', limit: Limit) -> None:
    """Limit a config's training, validation, test and probes to a few images.

    Its protocol gets a name of its own and the tier ``smoke``, so its numbers never rank with those
    of whole runs.

    Args:
        cfg: Config of a run with its data roots set; changed in place.
        limit: Number of images.

    Raises:
        ConfigError: The config names no data set.
    """
    places = ('train_dataloader', 'val_dataloader', 'test_dataloader', 'test_cfg', 'custom_hooks')
    loaders = [
        node
        for place in places
        for key, node in named_dictionaries(cfg.get(place), place)
        if key.endswith('dataloader') and isinstance(node.get('dataset'), dict)
    ]
    if not sum(_limit_data_set(loader['dataset'], limit) for loader in loaders):
        raise ConfigError(f'{cfg.filename}: names no data set that --limit could shorten.')
    for place in ('val_evaluator', 'test_evaluator'):
        _evaluate_what_was_seen(cfg.get(place))
    cfg.limit, cfg.is_changed = str(limit), True
    add_to_names(cfg, limit.suffix)
    if protocol := cfg.get('protocol'):
        protocol['tier'] = 'smoke'


def _limit_data_set(node: dict[str, Any], limit: Limit) -> int:
    """Shorten a data set, or those inside a wrapper; returns their number."""
    inner = node.get('datasets') or [node.get('dataset')]
    if isinstance(inner[0], dict):
        return sum(_limit_data_set(data_set, limit) for data_set in inner)
    node.update(type='mim_bench.Limited', of=node['type'], number=limit.number)
    if limit.seed is not None:
        node['seed'] = limit.seed
    return 1


def _evaluate_what_was_seen(node: Any) -> None:
    """Restrict COCO's metric to the images used instead of all in the annotation file."""
    for metric in node if isinstance(node, list | tuple) else [node]:
        if isinstance(metric, dict) and str(metric.get('type')).endswith('CocoMetric'):
            metric.update(type='mim_bench.CocoMetric', only_seen=True)
