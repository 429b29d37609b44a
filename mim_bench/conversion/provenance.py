"""The ``meta`` of a canonical file: facts about its weights, each with its origin."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from mim_bench.conversion.architecture import OF_SOURCE, Architecture
from mim_bench.conversion.canonical import PRETRAINING_TOKENS
from mim_bench.conversion.containers import Weights
from mim_bench.conversion.files import meta_of, run_meta
from mim_bench.conversion.key_table import Converted
from mim_bench.conversion.manifest import release_of
from mim_bench.conversion.source import Source
from mim_bench.results.record import RANDOM_METHOD, data_set_of

# Facts of weights in a canonical file; `epochs` are those of the pre-training.
FACTS = ('method', 'epochs', 'pretrain_data', 'labels', 'img_size', 'licence')
# Their names in a record's checkpoint, where these differ.
RECORD_NAMES = {'epochs': 'pretrain_epochs'}
# Keys of an earlier conversion that a new one keeps.
_KEPT = (
    'source', 'source_file', 'origin_sha256', 'finetune_epochs', 'merge_order', 'params',
    'trained_by', 'notes',
)  # fmt: skip
# Heads that are trained with labels, and the data set by number of classes.
_HEADS: tuple[tuple[str, Mapping[int, str]], ...] = (
    (r'head\.fc\.weight', {1000: 'in1k', 11821: 'in12k', 21841: 'in22k', 21843: 'in22k'}),
    (r'decode_head\.conv_seg\.weight', {150: 'ade20k'}),
    (r'roi_head\.bbox_head(?:\.\d+)?\.fc_cls\.weight', {81: 'coco'}),
    (r'bbox_head\.gfl_cls\.weight', {80: 'coco'}),
)
# The norm behind the pooling of a fine-tuned ViT, whose head may have been taken off.
_FINETUNED_NORM = 'backbone.ln2.weight'


def build_meta(
    source: Source,
    weights: Weights,
    whole: Converted,
    architecture: Architecture,
    content: Mapping,
    *,
    sha256: str | None = None,
    stated: Mapping[str, Any] | None = None,
    is_certain: bool = True,
) -> dict:
    """The ``meta`` of a canonical file.

    Each of :data:`FACTS` is taken from the first source that has it: the user, an earlier
    conversion or the run that made the file, the list of releases, the format, the weights
    themselves. ``known_from`` names that source.

    Args:
        source: The format.
        weights: The weights as in the file.
        whole: The whole model under canonical names.
        architecture: Architecture of its backbone.
        content: The file's dictionary.
        sha256: SHA-256 of the file.
        stated: Facts that the user states, by name.
        is_certain: Whether the format has a mark of its own or the user names it; otherwise it
            determines neither method nor licence.

    Returns:
        ``meta`` without the file's name and what the conversion changed. A file of a fine-tuned
        classifier counts its own epochs, ``finetune_epochs``.
    """
    earlier, run = _canonical_meta(content), run_meta(content)
    epochs = _epochs(content)
    heads = _heads(whole.rest)
    trained_by = _trained_by(run)
    is_finetuned = bool(heads) or trained_by is not None
    release = release_of(earlier.get('origin_sha256') or sha256)
    layers = {
        'stated': stated or {},
        'file': {key: earlier.get(key) for key in FACTS},
        'run': _facts_of_run(run, None if is_finetuned else epochs),
        'release': {} if release is None else release.facts,
        'format': {
            'method': source.method_of(weights.state) if is_certain else None,
            'licence': source.licence if is_certain else None,
            'epochs': epochs if is_certain and not is_finetuned else None,
            'labels': _labels_of_format(source, weights, whole, is_finetuned)
            if is_certain and not run
            else None,
        },
        'weights': {
            'labels': _labels_of_heads(heads),
            'img_size': None if is_finetuned else architecture.arch.get('img_size'),
        },
    }
    facts, known_from = _first_known(layers)
    before = earlier.get('known_from', {})
    known_from |= {key: before[key] for key in before if known_from[key] == 'file'}
    meta = {
        'source': source.name,
        'container': weights.container,
        'arch': architecture.arch,
        'backbone_type': architecture.backbone_type,
        'assumed': architecture.assumed,
        **facts,
        'known_from': known_from,
        'params': count_parameters(whole.backbone),
        'resized': [],
    }
    if sha256 is not None:
        meta['origin_sha256'] = sha256
    if trained_by is not None:
        meta['trained_by'] = trained_by
    if is_finetuned and epochs is not None:
        meta['finetune_epochs'] = epochs
    return meta | {key: earlier[key] for key in _KEPT if earlier.get(key) is not None}


def with_earlier(found: Architecture, content: Mapping) -> Architecture:
    """The architecture with what an earlier conversion, or the run that made the file, knew of it.

    An export may be of another source than that of its layout.
    """
    run, canonical = run_meta(content).get('arch'), _canonical_meta(content).get('arch')
    stored = {**(run or {}), **(canonical or {})}
    if not stored:
        return found
    kept = {k: stored[k] for k in (*found.assumed, *OF_SOURCE, 'norm_eps') if k in stored}
    arch = {k: v for k, v in found.arch.items() if k not in OF_SOURCE}
    assumed = [key for key in found.assumed if key not in kept]
    return replace(found, arch={**arch, **kept}, assumed=assumed)


def meta_names(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a record's checkpoint under the names that a canonical file has for them."""
    names = {value: key for key, value in RECORD_NAMES.items()}
    return {names.get(key, key): value for key, value in facts.items()}


def count_parameters(backbone: Mapping[str, torch.Tensor]) -> int:
    """The values of a backbone's weights; a table that all blocks share counts once."""
    return sum(
        value.numel()
        for key, value in backbone.items()
        if value.is_floating_point() and key not in PRETRAINING_TOKENS
    )


def _first_known(layers: Mapping[str, Mapping[str, Any]]) -> tuple[dict, dict[str, str]]:
    """Each fact from the first layer that has it, and the name of that layer."""
    facts, known_from = {}, {}
    for key in FACTS:
        found = [name for name, layer in layers.items() if layer.get(key) is not None]
        facts[key] = layers[found[0]][key] if found else None
        if found:
            known_from[key] = found[0]
    return facts, known_from


def _canonical_meta(content: Mapping) -> Mapping:
    meta = meta_of(content)
    return meta if 'origin_sha256' in meta else {}


def _epochs(content: Mapping) -> int | None:
    """Official files count from zero; the meta of mmcv and mmengine holds the finished ones."""
    if isinstance(content.get('epoch'), int):
        return content['epoch'] + 1
    epoch = meta_of(content).get('epoch')
    return epoch if isinstance(epoch, int) else None


def _trained_by(run: Mapping) -> dict | None:
    """The task and protocol by which a run of this project trained with labels."""
    if not run.get('task') or 'method' in run:
        return None
    return {key: run.get(key) for key in ('task', 'protocol', 'version', 'hash')}


def _facts_of_run(run: Mapping, epochs: int | None) -> dict:
    """Facts of weights that a run of this project left.

    A pre-training knows its own; one with labels keeps those of its start and adds its data
    set to the labels.
    """
    start = run.get('start') or {}
    labels = start.get('labels', [])  # a run without a start began from random weights
    if 'method' in run:
        own = {key: run.get(key) for key in ('method', 'pretrain_data', 'img_size')}
        return {**own, 'epochs': run.get('epochs') if epochs is None else epochs, 'labels': labels}
    trained_by = _trained_by(run)
    if trained_by is None:
        return {}
    seen = data_set_of(trained_by['task'])
    facts = {key: start.get(RECORD_NAMES.get(key, key)) for key in FACTS}
    if facts['method'] == RANDOM_METHOD:
        facts['method'] = f'supervised-{seen}'
    return {**facts, 'labels': [*(name for name in labels or () if name != seen), seen]}


def _heads(rest: Mapping[str, torch.Tensor]) -> list[tuple[Mapping[int, str], torch.Tensor]]:
    """The layers that were trained with labels, each with what its number of classes tells."""
    return [
        (known, value)
        for key, value in rest.items()
        for pattern, known in _HEADS
        if re.fullmatch(pattern, key)
    ]


def _labels_of_heads(heads: list[tuple[Mapping[int, str], torch.Tensor]]) -> list[str] | None:
    found = {known[len(weight)] for known, weight in heads if len(weight) in known}
    return sorted(found) or None


def _labels_of_format(
    source: Source, weights: Weights, whole: Converted, is_finetuned: bool
) -> list[str] | None:
    """None seen where the format is that of a method without labels, and no head was trained."""
    is_finetuned = is_finetuned or _FINETUNED_NORM in whole.backbone
    return None if is_finetuned or source.method_of(weights.state) is None else []
