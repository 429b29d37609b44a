"""What a suite measures: its tasks, each with the config of every backbone. Read from YAML."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mim_bench.errors import ConfigError
from mim_bench.suite.locations import DATA_ROOTS, configs_folder

SUITES = ('smoke', 'proxy', 'full')
PRETRAINED = 'pretrained'
_TIERS = ('smoke', 'proxy', 'full')
_COMMANDS = ('train', 'test')
_SUITE_KEYS = {'tier': True, 'entries': True}
_ENTRY_KEYS = {
    'name': True,
    'command': True,
    'dataset': True,
    'protocol': True,
    'version': True,
    'tasks': True,
    'configs': True,
    'fit': False,
    'start': False,
    'gpus': False,
    'need_stuff': False,
}


@dataclass(frozen=True)
class Network:
    """A backbone as suites look for its configs.

    Attributes:
        name: Family and size, as configs spell it; None for a size without a name.
        family: ``vit``, ``beit-vit``, ``swin``, ``ummae-swin``, ``ummae-pvt``; None for others.
    """

    name: str | None
    family: str | None = None

    def __str__(self) -> str:
        return self.name or self.family or 'an unknown backbone'


FAMILIES = ('beit-vit', 'ummae-swin', 'ummae-pvt', 'vit', 'swin')


def network_named(name: str) -> Network:
    """The network of a backbone's name, for example ``swin-tiny``."""
    return Network(name, next((f for f in FAMILIES if name.startswith(f'{f}-')), None))


@dataclass(frozen=True)
class Entry:
    """One run of one checkpoint: a config for each backbone, and what it records.

    Attributes:
        name: Unique in the suite; the beginning of the names of its runs.
        command: ``train`` or ``test``.
        dataset: Key of :data:`mim_bench.suite.locations.DATA_ROOTS`.
        protocol: Name of the configs' protocol.
        version: Of it.
        tasks: Metrics of a record by its task; the first one is the primary metric.
        configs: Path below ``configs/`` by backbone; by family where ``fit``.
        fit: The configs take the backbone of any checkpoint of the family.
        start: ``pretrained``, or a task whose fine-tuned backbone the run starts from.
        gpus: 1, or 'all' of a run.
        need_stuff: COCO's stuff maps are learned from.
    """

    name: str
    command: str
    dataset: str
    protocol: str
    version: str
    tasks: Mapping[str, tuple[str, ...]]
    configs: Mapping[str, str]
    fit: bool = False
    start: str = PRETRAINED
    gpus: int | str = 'all'
    need_stuff: bool = False

    @property
    def recipe(self) -> str:
        """The protocol's name without the task's: what follows ``=`` in ``--tasks``."""
        recipe = self.protocol
        for prefix in (*self.tasks, self.dataset):
            recipe = recipe.removeprefix(f'{prefix}-')
        return recipe

    def config_of(self, network: Network) -> str | None:
        """The config that measures a network; None if the entry has none."""
        return self.configs.get(network.family if self.fit else network.name)

    def primary_metric(self, task: str) -> str:
        """The metric that a task is ranked by."""
        return self.tasks[task][0]


@dataclass(frozen=True)
class Suite:
    """Tasks of one tier.

    Attributes:
        name: Of its file.
        tier: ``smoke``, ``proxy`` or ``full``: what its records say.
        entries: Of several that a task and a backbone have, the first is the default.
    """

    name: str
    tier: str
    entries: tuple[Entry, ...]

    @property
    def tasks(self) -> list[str]:
        """Every task, in the order of the entries."""
        return list(dict.fromkeys(task for entry in self.entries for task in entry.tasks))


def load_suite(name: str, folder: Path | None = None) -> Suite:
    """Read ``configs/suites/<name>.yml``.

    Args:
        name: Of a suite.
        folder: That of ``configs/suites`` if None.

    Raises:
        ConfigError: There is no such suite, or its file is wrong; names file and key.
    """
    folder = configs_folder() / 'suites' if folder is None else Path(folder)
    path = folder / f'{name}.yml'
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob('*.yml'))
        raise ConfigError(f'There is no suite {name!r}.{near(name, known)} Known: {known}.')
    try:
        data = yaml.safe_load(path.read_text('utf-8'))
    except yaml.YAMLError as error:
        raise ConfigError(f'{path}: is not YAML: {error}') from error
    return _suite(name, _Node(path, '', data))


def near(word: str, known: object) -> str:
    """' Did you mean ...?', or nothing."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f' Did you mean {found[0]!r}?' if found else ''


@dataclass(frozen=True)
class _Node:
    """A value of the file, and where it stands there."""

    path: Path
    place: str
    value: Any

    def wrong(self, reason: str) -> ConfigError:
        return ConfigError(f'{self.path}: {self.place or "top level"}: {reason}')

    def typed(self, kind: type, word: str) -> Any:
        is_bool = isinstance(self.value, bool) and kind is not bool
        if not isinstance(self.value, kind) or is_bool:
            raise self.wrong(f'is {self.value!r}, not {word}. Correct it.')
        return self.value

    def child(self, key: Any) -> '_Node':
        place = f'{self.place}.{key}'.lstrip('.')
        return _Node(self.path, place, self.value[key])

    def fields(self, keys: Mapping[str, bool]) -> dict[str, '_Node']:
        """The children; every key must be known, and those that are True must be there."""
        data = self.typed(dict, 'a mapping')
        for key in data:
            if key not in keys:
                raise self.wrong(f'nothing reads the key {key!r}.{near(str(key), keys)}')
        if missing := [key for key, needed in keys.items() if needed and key not in data]:
            raise self.wrong(f'has no {", ".join(missing)}. Add it.')
        return {key: self.child(key) for key in data}

    def text(self) -> str:
        return self.typed(str, 'a text')

    def choice(self, known: object) -> str:
        if self.text() not in known:
            raise self.wrong(f'{self.value!r} is none of {", ".join(known)}.')
        return self.value

    def texts(self) -> dict[str, str]:
        return {key: self.child(key).text() for key in self.typed(dict, 'a mapping')}


def _suite(name: str, node: _Node) -> Suite:
    fields = node.fields(_SUITE_KEYS)
    listed = fields['entries']
    entries: list[Entry] = []
    for index in range(len(listed.typed(list, 'a list'))):
        entry = _entry(listed.child(index))
        if entry.name in {e.name for e in entries}:
            raise listed.child(index).wrong(f'another entry is named {entry.name!r} too.')
        entries.append(entry)
    suite = Suite(
        name,
        fields['tier'].choice(_TIERS),
        tuple(entries),
    )
    for index, entry in enumerate(entries):
        if entry.start not in (PRETRAINED, *suite.tasks):
            raise listed.child(index).wrong(
                f'start is {entry.start!r}, neither {PRETRAINED!r} nor a task of this file.'
            )
    return suite


def _entry(node: _Node) -> Entry:
    fields = node.fields(_ENTRY_KEYS)
    tasks = fields['tasks']
    more: dict[str, Any] = {}
    if 'start' in fields:
        more['start'] = fields['start'].text()
    if 'gpus' in fields:
        more['gpus'] = fields['gpus'].value
        if more['gpus'] not in (1, 'all') or isinstance(more['gpus'], bool):
            raise fields['gpus'].wrong(f"is {more['gpus']!r}, neither 1 nor 'all'.")
    for key in ('need_stuff', 'fit'):
        if key in fields:
            more[key] = fields[key].typed(bool, 'true or false')
    return Entry(
        name=fields['name'].text(),
        command=fields['command'].choice(_COMMANDS),
        dataset=fields['dataset'].choice(DATA_ROOTS),
        protocol=fields['protocol'].text(),
        version=fields['version'].text(),
        tasks={task: _metrics(tasks.child(task)) for task in tasks.typed(dict, 'a mapping')},
        configs=_configs(fields['configs']),
        **more,
    )


def _metrics(node: _Node) -> tuple[str, ...]:
    metrics = node.typed(list, 'a list of metrics')
    if not metrics:
        raise node.wrong('has no metric. Name one or more, the primary one first.')
    return tuple(node.child(index).text() for index in range(len(metrics)))


def _configs(node: _Node) -> dict[str, str]:
    configs = node.texts()
    for backbone, config in configs.items():
        if not (configs_folder() / config).is_file():
            raise node.wrong(f'{backbone}: there is no file configs/{config}.')
    return configs
