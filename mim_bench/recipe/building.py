"""Builds a config's model and pipelines without a runner."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.logging import MMLogger
from mmengine.registry import FUNCTIONS, MODELS, DefaultScope
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.recipe.config import explain_build_error
from mim_bench.recipe.tree import inner_dataset, named_dictionaries

_IMAGENET = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375]}


def library_scope(cfg: Config) -> AbstractContextManager[None]:
    """Context in which names without a scope are looked up in the config's library."""
    return DefaultScope.overwrite_default_scope(cfg.get('default_scope'))


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config with its data preprocessor; weights are not initialised.

    Raises:
        ConfigError: There is no model, or a class or an argument of it does not exist.
    """
    settings = _part(cfg, 'model')
    if cfg.get('data_preprocessor') is not None:
        settings.setdefault('data_preprocessor', cfg.data_preprocessor)
    with library_scope(cfg), explained(cfg):
        return MODELS.build(normalised_as_trained(settings))


def normalised_as_trained(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings of a model whose preprocessor normalises as the backbone's weights were trained.

    A recipe that normalises by other numbers than ImageNet's keeps them.

    Args:
        model: The settings, which stay as they are: a checkpoint fixes this as it fixes the
            arguments of the backbone, so it is no part of a protocol.
    """
    if isinstance(model.get('module'), dict):  # inside test-time augmentation
        return {**model, 'module': normalised_as_trained(model['module'])}
    pixels = (model.get('backbone') or {}).get('pixels')
    images = model.get('data_preprocessor') or {}
    if not pixels or any(list(images.get(key) or ()) != _IMAGENET[key] for key in _IMAGENET):
        return model
    own = {key: [255 * value for value in pixels[key]] for key in _IMAGENET}
    return {**model, 'data_preprocessor': {**images, **own}}


@contextmanager
def without_values() -> Iterator[None]:
    """Context in which new modules are not initialised, if only names and shapes are needed.

    Drawing the random values of a ViT-H takes seconds.
    """
    names = ('uniform_', 'normal_')
    for name in names:
        setattr(torch.Tensor, name, lambda tensor, *args, **settings: tensor)
    try:
        yield
    finally:
        for name in names:
            delattr(torch.Tensor, name)  # restores the method of the base class


def init_weights(model: nn.Module) -> None:
    """Initialise a model's weights without mmengine's log line for each parameter."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')
    try:
        model.init_weights()
    finally:
        logger.setLevel(level)


def without_pretrained(cfg: Config, *, missing_only: bool = False) -> tuple[Config, list[str]]:
    """A copy of the config whose model starts from random weights instead of files.

    Args:
        cfg: The config.
        missing_only: Keep named files; drop only entries without a file
            (``init_cfg=dict(type='Pretrained', checkpoint=None)``).

    Returns:
        The copy, and the dotted names of the parts that were to be pre-trained.
    """
    copy = deepcopy(cfg)
    parts = []
    for name, part in named_dictionaries(copy.get('model'), 'model'):
        init = part.get('init_cfg')
        is_pretrained = isinstance(init, dict) and init.get('type') == 'Pretrained'
        if is_pretrained and not (missing_only and init.get('checkpoint')):
            part['init_cfg'] = None
            parts.append(name)
    return copy, parts


def train_pipeline(cfg: Config) -> list[dict]:
    """Configs of the transforms that make a training sample.

    Raises:
        ConfigError: The config has no training, or several training pipelines.
    """
    dataset = inner_dataset(_part(cfg, 'train_dataloader'))
    if not dataset.get('pipeline'):
        raise ConfigError(
            f'{cfg.filename}: train_dataloader.dataset has no pipeline. Use the config of a '
            'training.'
        )
    return list(dataset['pipeline'])


def build_pipeline(cfg: Config, transforms: list[dict]) -> Compose:
    """Build the transforms of a pipeline."""
    with library_scope(cfg), explained(cfg):
        return Compose(transforms)


def train_collate(cfg: Config) -> Callable[[list], Any]:
    """The function that collates training samples to a batch."""
    settings = dict(_part(cfg, 'train_dataloader').get('collate_fn') or {'type': 'pseudo_collate'})
    collate = FUNCTIONS.get(settings.pop('type'))
    return partial(collate, **settings)


@contextmanager
def explained(cfg: Config) -> Iterator[None]:
    """Context that turns an unknown class or argument into one clear error."""
    try:
        yield
    except (TypeError, KeyError) as error:
        clear = explain_build_error(cfg, error)
        if clear is None:
            raise
        raise clear from error


def _part(cfg: Config, key: str) -> ConfigDict:
    """A copy of a part of the config."""
    if not cfg.get(key):
        raise ConfigError(f'{cfg.filename}: has no {key}. Use the config of a training.')
    return ConfigDict(cfg[key].to_dict())
