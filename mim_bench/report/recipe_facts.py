"""The facts of our recipes that sources state, too, from the settings of a protocol."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from mim_bench.errors import RecordError
from mim_bench.results.protocol_file import read_protocol
from mim_bench.results.record import RunRecord
from mim_bench.results.store import Collection

# Name of a fact -> where the settings have it.
_PLACES = {
    'epochs': 'train_cfg.max_epochs',
    'iterations': 'train_cfg.max_iters',
    'batch': 'effective_batch_size',
    'lr': 'optim_wrapper.optimizer.lr',
    'weight_decay': 'optim_wrapper.optimizer.weight_decay',
    'layer_decay': 'optim_wrapper.paramwise_cfg.layer_decay_rate',
    'drop_path': 'model.backbone.drop_path_rate',
}
# Length and size in the name of a config, for example ...-100e_in1k-224px.
_NAME = re.compile(r'-(?P<length>\d+)(?P<unit>[eik])_.*?(?:-(?P<px>\d+)px)?$')


class RecipeReader:
    """Facts of the recipes of runs; the settings of a protocol hash are read once."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._settings: dict[str, Mapping] = {}

    def facts(self, runs: Iterable[RunRecord]) -> dict[str, float]:
        """What is known of the recipe that runs of one protocol share.

        Epochs, iterations and resolution of runs that kept no settings are those in the name of
        their config.

        Args:
            runs: At least one; all of one protocol hash.
        """
        runs = list(runs)
        digest = runs[0].protocol.hash
        if digest not in self._settings:
            self._settings[digest] = self._read(runs)
        if settings := self._settings[digest]:
            return facts_of_settings(settings)
        return _facts_of_name(PurePosixPath(runs[0].config.path).stem)

    def _read(self, runs: list[RunRecord]) -> Mapping:
        for run in runs:
            if run.artifacts.protocol is None:
                continue
            try:
                path = self._collection.artifact_path(run, run.artifacts.protocol)
                return read_protocol(path, run.protocol.hash)
            except RecordError:  # another run of the protocol may have the same settings whole
                continue
        return {}


def facts_of_settings(settings: Mapping[str, Any]) -> dict[str, float]:
    """The facts in the settings that a protocol's hash covers, or in a whole config."""
    facts = {name: _at(settings, place.split('.')) for name, place in _PLACES.items()}
    dataset = _at(settings, ['train_dataloader', 'dataset'])
    facts['resolution'] = next(_crops(dataset), None) if dataset is not None else None
    return {name: fact for name, fact in facts.items() if isinstance(fact, int | float)}


def _at(node: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        if not isinstance(node, Mapping):
            return None
        node = node.get(key)
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


def _facts_of_name(stem: str) -> dict[str, float]:
    found = _NAME.search(stem)
    if found is None:
        return {}
    length = int(found['length']) * (1000 if found['unit'] == 'k' else 1)
    facts = {'epochs' if found['unit'] == 'e' else 'iterations': length}
    return facts | ({'resolution': int(found['px'])} if found['px'] else {})
