"""Describes the start of a run for its protocol: whether and where its weights saw labels."""

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS

from mim_bench.conversion.backbone_config import backbone_config
from mim_bench.conversion.files import read_checkpoint, state_dict_of, state_sha256
from mim_bench.conversion.inspection import file_facts, label_history
from mim_bench.files.hashing import file_sha256
from mim_bench.recipe.tree import named_dictionaries, plain
from mim_bench.recipe.tta import network_settings

PRETRAINED = 'Pretrained'
# Modules whose start is known by the labels that it saw.
_WHOLE = ('model', 'model.backbone')
# Arguments of backbones that can be read from the keys and shapes of a file.
_FIXED_IN_KIND = ('abs_pos', 'layer_scale', 'patch_size', 'qkv_bias', 'rel_pos_bias', 'window_size')


def protocol_start(cfg: Config) -> dict[str, Any]:
    """The start of a run, for its protocol's hash.

    Random weights and weights that saw no labels are the same start, since the board compares them.
    Weights that saw labels are another start, which includes the protocol that trained them if the
    file states it. A file that does not state its labels counts as one without; the board marks it.

    Args:
        cfg: The resolved config of a run.

    Returns:
        ``labels`` and ``trained_by`` of the backbone's file, ``deviates`` for arguments of the
        backbone that a checkpoint fixes and that are not as this file has them, ``model`` for a
        file that fills the whole model, ``parts`` for files that other modules are initialised
        from. Keys without a value are absent.
    """
    start = {}
    backbone = cfg.get('backbone_checkpoint')
    if backbone:
        start |= _history(backbone) | _deviation(cfg, backbone)
    if cfg.get('load_from') and not cfg.get('resume'):
        start['model'] = _history(cfg.load_from) or _identity(cfg.load_from)
    parts = {}
    for name, path in _initialised(cfg):
        if name in _WHOLE:
            start |= _history(path)
        else:
            parts[name] = _identity(path)
    return {**start, 'parts': parts} if parts else start


def start_weights(cfg: Config) -> dict[str, str]:
    """SHA-256 of the weights that the network or its backbone starts from, by key of their file.

    A file that is converted again, or moved, has the same.
    """
    named = {key: cfg.get(key) for key in ('backbone_checkpoint', 'load_from')}
    named |= {k: path for k, path in _initialised(cfg) if k in _WHOLE}
    return {
        key: state_sha256(state_dict_of(read_checkpoint(path))) if Path(path).is_file() else path
        for key, path in named.items()
        if path
    }


def _history(path: str | Path) -> dict[str, Any]:
    """Labels that the weights of a file saw, and the protocol that trained them with labels."""
    return label_history(Path(path)) if Path(path).is_file() else {}


def _deviation(cfg: Config, path: str | Path) -> dict[str, Any]:
    """Arguments that a checkpoint fixes and in which the config differs from its checkpoint."""
    if not Path(path).is_file():
        return {}
    meta = file_facts(path).stored
    used = network_settings(cfg).backbone
    if meta.get('backbone_type') != used.type:
        return {}
    stated = backbone_config(meta)
    defaults = inspect.signature(MODELS.get(used.type)).parameters
    deviates = {}
    for argument in sorted(set(stated) & set(_FIXED_IN_KIND)):
        value = used.get(argument, defaults[argument].default)
        if _kind(argument, value) != _kind(argument, stated[argument]):
            deviates[argument] = plain(value)
    return {'deviates': deviates} if deviates else {}


def _kind(argument: str, value: Any) -> Any:
    """The comparable part of a value: for a layer scale or a table only whether it exists."""
    if argument in ('abs_pos', 'layer_scale'):
        return value not in (None, 'none')
    value = plain(value)
    return value[0] if isinstance(value, list) and len(set(value)) == 1 else value


def _identity(path: str | Path) -> dict[str, str]:
    path = Path(path)
    return {'sha256': file_sha256(path)} if path.is_file() else {'file': path.name}


def _initialised(cfg: Config) -> Iterator[tuple[str, str]]:
    """Modules of the model whose ``init_cfg`` names a file, with that file."""
    for owner, part in named_dictionaries(cfg.get('model'), 'model'):
        init = part.get('init_cfg')
        for entry in init if isinstance(init, list | tuple) else [init]:
            is_file = isinstance(entry, Mapping) and str(entry.get('type')).endswith(PRETRAINED)
            if is_file and entry.get('checkpoint'):
                yield owner, entry['checkpoint']
