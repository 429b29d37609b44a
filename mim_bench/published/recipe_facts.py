"""What the settings of a run and a published protocol both state, and whether they agree."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mim_bench.published.numbers import PublishedProtocol

# Name of a fact of a recipe -> its words, and where the settings have it.
_FACTS = {
    'epochs': ('epochs', 'train_cfg.max_epochs'),
    'iterations': ('iterations', 'train_cfg.max_iters'),
    'resolution': ('px', None),
    'batch': ('batch', 'effective_batch_size'),
    'peak_lr': ('learning rate', 'optim_wrapper.optimizer.lr'),
    'layer_decay': ('layer decay', 'optim_wrapper.paramwise_cfg.layer_decay_rate'),
    'weight_decay': ('weight decay', 'optim_wrapper.optimizer.weight_decay'),
    'drop_path': ('drop path', 'model.backbone.drop_path_rate'),
}


def facts_of_settings(settings: Mapping[str, Any]) -> dict[str, float]:
    """The facts in the settings that a protocol's hash covers, or in a whole config."""
    facts = {name: _at(settings, place) for name, (_, place) in _FACTS.items() if place}
    facts['resolution'] = next(_crops(_at(settings, 'train_dataloader.dataset')), None)
    return {name: fact for name, fact in facts.items() if isinstance(fact, int | float)}


def _at(node: Any, place: str) -> Any:
    for key in place.split('.'):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _crops(node: Any) -> Iterator[int]:
    """Sides of the square crops of a pipeline."""
    if isinstance(node, Mapping):
        if str(node.get('type', '')).endswith('Crop'):
            size = node.get('crop_size', node.get('scale'))
            sides = set(size) if isinstance(size, list | tuple) else {size}
            if len(sides) == 1 and isinstance(side := sides.pop(), int):
                yield side
        node = list(node.values())
    if isinstance(node, list | tuple):
        for item in node:
            yield from _crops(item)


def differing_facts(facts: Mapping[str, float], theirs: PublishedProtocol) -> Iterator[str]:
    """Facts that a recipe of ours and a published one both state, and differently."""
    for name, (words, _) in _FACTS.items():
        here, there = facts.get(name), getattr(theirs, name)
        if None not in (here, there) and not math.isclose(here, there, rel_tol=1e-6):
            yield f'{words} {here:,g} here, {there:,g} there'
