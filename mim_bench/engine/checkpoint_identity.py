"""The checkpoint that a run evaluates, for its record and for the files that it saves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mim_bench.conversion.architecture import MODULE
from mim_bench.conversion.files import read_checkpoint, run_meta
from mim_bench.conversion.inspection import checkpoint_facts
from mim_bench.engine.run_record import make_protocol, protocol_tasks
from mim_bench.recipe.by_backbone import is_fixed
from mim_bench.recipe.tree import plain
from mim_bench.recipe.tta import network_settings
from mim_bench.results.record import RANDOM_METHOD

_RANDOM_START = {
    'method': RANDOM_METHOD,
    'source': 'random weights',
    'labels': [],
    'known_from': {'method': 'run', 'labels': 'run'},
}
UNKNOWN_START = {'method': 'unknown'}


def record_checkpoint(
    cfg: Config, stated: Mapping[str, Any], start: Mapping[str, Any]
) -> dict[str, Any]:
    """Fields of the record's checkpoint.

    Args:
        cfg: The resolved config.
        stated: Facts that the user states; they take precedence.
        start: Result of :func:`start_facts`, or :data:`UNKNOWN_START`; a pre-training has its own.
    """
    facts = pretraining_facts(cfg, start) if cfg.get('pretraining') else dict(start)
    file, name = cfg.get('backbone_checkpoint'), Path(cfg.filename or 'run').stem
    facts['id'] = Path(file).stem if file else f'{facts["method"]}_{name}'
    if 'backbone' not in stated:
        facts['backbone'] = network_settings(cfg).backbone.type.rpartition('.')[2]
    named = {key: 'stated' for key in stated if key not in ('id', 'backbone', 'source', 'sha256')}
    return {**facts, **stated, 'known_from': facts.get('known_from', {}) | named}


def start_facts(cfg: Config, file: str | None, *, is_test: bool = False) -> dict[str, Any]:
    """What is known of the weights that a run starts from: fields of a record's checkpoint.

    Args:
        cfg: The resolved config.
        file: File of the backbone; None: random weights, unless the config loads a whole model.
        is_test: A whole model is tested: return the facts of the start of its training.
    """
    model = None if cfg.get('resume') else cfg.get('load_from')
    if not file and not model:
        backbone = network_settings(cfg).get('backbone') or {}
        is_pretrained = 'Pretrained' in str(backbone.get('init_cfg'))
        return dict(UNKNOWN_START if is_pretrained else _RANDOM_START)
    path = Path(file or model)
    if not path.is_file():  # the load gate reports it
        return dict(UNKNOWN_START)
    if file or not is_test:
        return checkpoint_facts(path)
    return {**UNKNOWN_START, **(run_meta(read_checkpoint(path)).get('start') or {})}


def pretraining_facts(cfg: Config, start: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the weights that a pre-training makes: fields of a record's checkpoint.

    Args:
        cfg: The resolved config, whose ``pretraining`` says method, epochs and data.
        start: What it starts from, whose labels the weights have seen.
    """
    own = cfg.pretraining
    facts = {
        'method': own.get('method', 'unknown'),
        'source': 'mim_bench',
        'pretrain_epochs': own.get('epochs'),
        'pretrain_data': own.get('data'),
        'img_size': input_side(cfg),
        'labels': start.get('labels'),
    }
    return {**facts, 'known_from': {k: 'run' for k, v in facts.items() if v is not None}}


def input_side(cfg: Config) -> int | None:
    """The side of the square images that a training crops, in pixels; None if it does not say."""
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    for transform in reversed(dataset.get('pipeline') or []):
        size = transform.get('scale', transform.get('crop_size'))
        if 'Crop' in str(transform.get('type')) and isinstance(size, int):
            return size
    return None


def run_facts(cfg: Config, start: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of a run that its checkpoints hold, for a later conversion.

    Args:
        cfg: The resolved config.
        start: Result of :func:`start_facts`.

    Returns:
        ``task``, ``protocol``, ``version`` and ``hash``; of a pre-training its method, epochs,
        data and image size; ``start`` with the facts of its first weights; ``arch`` with the
        settings of the architecture that the weights do not show.
    """
    protocol = cfg.get('protocol') or {}
    facts = {
        'task': protocol_tasks(cfg)[0][0],
        'protocol': protocol.get('name'),
        'version': protocol.get('version') and str(protocol['version']),
        'hash': _protocol_hash(cfg),
        'start': dict(start),
        'arch': _hidden_arch(cfg),
        **_stated_network(cfg),
    }
    if not cfg.get('pretraining'):
        return facts
    own = pretraining_facts(cfg, start)
    known = {key: own[key] for key in ('method', 'pretrain_data', 'img_size')}
    return {**facts, **known, 'epochs': own['pretrain_epochs']}


def _stated_network(cfg: Config) -> dict[str, Any]:
    """The network that a run trains, where its weights do not show it."""
    backbone = network_settings(cfg).get('backbone') or {}
    if backbone.get('type') == MODULE:
        fixed = {key: value for key, value in backbone.items() if is_fixed(backbone, key)}
        return {'module': plain({k: v for k, v in fixed.items() if k != 'img_size'})}
    if not str(backbone.get('type')).endswith('TimmBackbone'):
        return {}
    kept = {k: dict(backbone[k]) for k in ('pos_resize', 'pixels') if backbone.get(k)}
    return {'timm': {'name': backbone.name, **dict(backbone.get('model_args') or {}), **kept}}


def _hidden_arch(cfg: Config) -> dict[str, Any]:
    """The settings of the backbone's architecture that its weights do not show."""
    backbone = network_settings(cfg).get('backbone') or {}
    arch = backbone.get('arch')
    heads = arch.get('num_heads') if isinstance(arch, Mapping) else None
    hidden = {} if heads is None else {'num_heads': heads}
    if str(backbone.get('type')).endswith('.ViT') and backbone.get('norm_eps') is not None:
        hidden['norm_eps'] = backbone['norm_eps']
    if is_fixed(backbone, 'bias_interpolation'):
        hidden['bias_interpolation'] = backbone['bias_interpolation']
    return hidden | {k: dict(backbone[k]) for k in ('pos_resize', 'pixels') if backbone.get(k)}


def _protocol_hash(cfg: Config) -> str | None:
    """Protocol hash of the first task; None where the protocol is not complete."""
    task, settings = protocol_tasks(cfg)[0]
    if not {'name', 'version', 'tier'} <= set(settings):
        return None
    return make_protocol(settings, task, cfg).hash
