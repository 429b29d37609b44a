"""Suite files: tasks with the config of each backbone, read from YAML."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, model_validator

from mim_bench.architectures import FAMILIES
from mim_bench.data.imagenet_variants import VARIANTS
from mim_bench.errors import ConfigError, did_you_mean
from mim_bench.files.validation import Model, explain, read_yaml
from mim_bench.recipe.robustness import variant_metrics, variant_task
from mim_bench.results.record import Name, Tier
from mim_bench.suite.locations import DATA_ROOTS, configs_folder

SUITES = ('smoke', 'proxy', 'full')
PRETRAINED = 'pretrained'


@dataclass(frozen=True)
class Network:
    """A backbone, in the form by which suites select configs.

    Attributes:
        name: Family and size as in configs; None for a size without a name.
        family: ``vit``, ``beit-vit``, ``swin``, ``ummae-swin``, ``ummae-pvt``; None for others.
    """

    name: str | None
    family: str | None = None

    def __str__(self) -> str:
        return self.name or self.family or 'an unknown backbone'


# Families without configs of their own, which take those of another in common protocols.
OTHER_FAMILIES = ('timm', 'capi', 'mixmim', 'module')


def network_named(name: str) -> Network:
    """The network with a backbone's name, for example ``swin-tiny``."""
    return Network(name, next((f for f in FAMILIES if name.startswith(f'{f}-')), None))


def _config(path: str, info: ValidationInfo) -> str:
    """A path below ``configs/``, or an absolute one; ``info.context`` is a user's own folder."""
    own = None if info.context is None else Path(info.context, path)
    if own is not None and own.is_file():
        return str(own.resolve())
    if not (configs_folder() / path).is_file():
        beside = '' if own is None else f', and no {own}'
        raise ValueError(f'there is no file configs/{path}{beside}')
    return path


class Entry(Model):
    """One run of one checkpoint: a config for each backbone, and what it records."""

    name: Name
    """Unique in the suite; the beginning of the names of its runs."""
    command: Literal['train', 'test']
    """Command of ``mim-bench`` that makes the run."""
    dataset: Literal[tuple(DATA_ROOTS)]
    """Data set that the run reads."""
    protocol: Name
    """Name of the configs' protocol."""
    version: Name
    """Version of the protocol."""
    tasks: dict[Name, Annotated[tuple[Name, ...], Field(min_length=1)]]
    """Metrics of a record by its task; the first one is the primary metric."""
    configs: dict[Name, Annotated[str, AfterValidator(_config)]] = Field(default={})
    """Path below ``configs/``, or beside a file of your own, by backbone; by family where
    ``fit``."""
    variant: Name | None = None
    """Test set of robustness on which the fine-tuned model or the probes of ``start`` are tested,
    with the config of their training instead of ``configs``."""
    fit: bool = False
    """Whether the configs take the backbone of any checkpoint of the family."""
    start: Name = PRETRAINED
    """``pretrained``, or a task whose fine-tuned backbone the run starts from."""
    gpus: Literal[1, 'all'] = 'all'
    """GPUs of a run."""
    need_stuff: bool = False
    """Whether COCO's stuff maps are learned from."""

    @property
    def recipe(self) -> str:
        """The protocol's name without the task: the word after ``=`` in ``--tasks``."""
        recipe = self.protocol
        for prefix in (*self.tasks, self.dataset):
            recipe = recipe.removeprefix(f'{prefix}-')
        return recipe

    def config_of(self, network: Network) -> str | None:
        """The config that measures a network; None if the entry has none."""
        if not self.fit:
            return self.configs.get(network.name)
        if network.family in OTHER_FAMILIES:
            # Common protocols set up any backbone from their table, so any of the configs serves.
            return next(iter(self.configs.values()))
        return self.configs.get(network.family)


class Robustness(Model):
    """Tests of the models and probes of other entries on further test sets."""

    sets: tuple[Literal[tuple(VARIANTS)], ...]
    """Test sets of robustness."""
    of: tuple[Name, ...]
    """Tasks whose models or probes are tested, with all other tasks of the same entry."""


class SuiteFile(Model):
    """Tasks of one tier."""

    tier: Tier
    """Tier of the records of the runs."""
    entries: tuple[Entry, ...]
    """Entries. Of several for one task and backbone, the first is the default."""
    robustness: Robustness | None = None
    """Adds an entry for each test set and task."""

    @property
    def tasks(self) -> list[str]:
        """Every task, in the order of the entries."""
        return list(dict.fromkeys(task for entry in self.entries for task in entry.tasks))

    def variant_entries(self) -> tuple[Entry, ...]:
        """The entries of ``robustness``."""
        if self.robustness is None:
            return ()
        return tuple(
            _variant_entry(variant, task, next(e for e in self.entries if task in e.tasks))
            for task in self.robustness.of
            for variant in self.robustness.sets
        )

    @model_validator(mode='after')
    def _check_names(self) -> 'SuiteFile':
        names = [entry.name for entry in self.entries]
        for entry in self.entries:
            if names.count(entry.name) > 1:
                raise ValueError(f'two entries are named {entry.name!r}')
            if bool(entry.configs) == (entry.variant is not None):
                raise ValueError(f'entry {entry.name!r} needs either configs or a variant')
            if entry.variant is not None and entry.start == PRETRAINED:
                raise ValueError(f'entry {entry.name!r} has a variant, so start must name a task')
            if entry.start not in (PRETRAINED, *self.tasks):
                raise ValueError(
                    f'entry {entry.name!r} starts from {entry.start!r}, neither {PRETRAINED!r} '
                    f'nor a task of this file.{did_you_mean(entry.start, self.tasks)}'
                )
        for task in self.robustness.of if self.robustness else ():
            if task not in self.tasks:
                raise ValueError(
                    f'robustness of {task!r}: no such task.{did_you_mean(task, self.tasks)}'
                )
        return self


def _variant_entry(variant: str, task: str, start: Entry) -> Entry:
    name = variant_task(variant, task)
    # The probes of an entry are tested together, since they share their features.
    measured = {
        variant_task(variant, known): tuple(variant_metrics(variant, metrics))
        for known, metrics in start.tasks.items()
    }
    return Entry(
        name=name,
        command='test',
        dataset=variant,
        protocol=f'{name}-common',
        version='1',
        gpus=1,
        start=task,
        variant=variant,
        tasks=measured,
    )


class TasksFile(Model):
    """A user's own tasks, added to those of a suite."""

    entries: tuple[Entry, ...]
    """Entries, put after those of the suite, with names that it does not have."""


class Suite(SuiteFile):
    """A suite with the name of its file."""

    name: Name


def load_suite(name: str, tasks_files: Sequence[str | Path] = ()) -> Suite:
    """Read ``configs/suites/<name>.yml``, or a file of the user's.

    Args:
        name: Name of a shipped suite, or path of a file that ends in ``.yml`` or ``.yaml``.
        tasks_files: Files with further entries, see :class:`TasksFile`.

    Raises:
        ConfigError: There is no such suite, or a file is invalid.
    """
    is_own = name.endswith(('.yml', '.yaml'))
    path = Path(name) if is_own else _shipped_suite(name)
    found = read_yaml(SuiteFile, path, ConfigError, context=path.parent if is_own else None)
    entries = found.entries + found.variant_entries()
    for more in map(Path, tasks_files):
        entries += read_yaml(TasksFile, more, ConfigError, context=more.parent).entries
    try:
        return Suite(name=path.stem, tier=found.tier, entries=entries)
    except ValidationError as problem:
        files = ', '.join(map(str, (path, *tasks_files)))
        raise ConfigError(f'{files}: {explain(problem, Suite)}') from None


def _shipped_suite(name: str) -> Path:
    folder = configs_folder() / 'suites'
    path = folder / f'{name}.yml'
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob('*.yml'))
        raise ConfigError(
            f'There is no suite {name!r}.{did_you_mean(name, known)} Known: {known}; the name of a '
            'file of your own ends in .yml.'
        )
    return path
