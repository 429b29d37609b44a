"""Numbers that others published, each with its source and place; never one of this project."""

import difflib
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

import mim_bench
from mim_bench.errors import RecordError
from mim_bench.results.validation import check_schema

FOLDER = Path(mim_bench.__file__).parent / 'published'

Kind = Literal['own', 'third-party']


@dataclass(frozen=True)
class PublishedSource:
    """Where a number was read.

    Attributes:
        title: What the source is called.
        place: Table, section or file inside it.
        read_as: What was read: files of the ``repository``, the ``paper``, its ``abstract``.
        repository: On GitHub, as ``owner/name@revision``.
        arxiv: Number of the paper.
        url: Of anything else.
    """

    title: str
    place: str
    read_as: Literal['repository', 'paper', 'abstract']
    repository: str | None = None
    arxiv: str | None = None
    url: str | None = None

    @property
    def link(self) -> str:
        """The address of the source."""
        if self.repository is not None:
            name, _, revision = self.repository.partition('@')
            return f'https://github.com/{name}' + (f'/tree/{revision}' if revision else '')
        return f'https://arxiv.org/abs/{self.arxiv}' if self.arxiv is not None else str(self.url)

    @property
    def label(self) -> str:
        """Repository, paper number or address, and the place in it."""
        paper = f'arXiv:{self.arxiv}' if self.arxiv is not None else self.url
        return f'{self.repository or paper}, {self.place}'


@dataclass(frozen=True)
class PublishedProtocol:
    """How a number was measured, as its source states it; None where it does not.

    Attributes:
        task: Name of the task in this project.
        stated: The recipe in words.
        name: Protocol of this project, only where a config holds this very recipe.
        epochs: Of the downstream training.
        iterations: The same where the source counts these.
        resolution: In pixels, with the meaning it has in the names of configs: side of the
            input, crop, or longest short side in training.
        detector: Its name.
        schedule: Its name.
        test: Whether test-time augmentation was used.
        split: That was measured on.
        init: Weights that the training started from, where not the pre-trained ones.
    """

    task: str
    stated: str
    name: str | None = None
    epochs: int | None = None
    iterations: int | None = None
    resolution: int | None = None
    detector: str | None = None
    schedule: str | None = None
    test: Literal['single-scale', 'multi-scale'] | None = None
    split: str = 'val'
    init: str | None = None


@dataclass(frozen=True)
class PublishedResult:
    """One number, in percent. ``pretrain_epochs`` is None where none are stated."""

    method: str
    backbone: str
    pretrain_epochs: int | None
    metric: str
    value: float
    protocol: PublishedProtocol
    source: PublishedSource
    kind: Kind
    variant: str | None = None
    note: str | None = None
    unit: str = '%'

    @property
    def task(self) -> str:
        """Name of the task in this project."""
        return self.protocol.task


@dataclass(frozen=True)
class PublishedCost:
    """What a pre-training took: GPU hours an epoch, or wall hours, on the named hardware."""

    method: str
    backbone: str
    pretrain_epochs: int | None
    quantity: Literal['gpu_hours_per_epoch', 'wall_hours']
    value: float
    hardware: str
    source: PublishedSource
    kind: Kind
    variant: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Published:
    """All that is entered, in the order of the files and of the entries in them."""

    results: tuple[PublishedResult, ...] = ()
    costs: tuple[PublishedCost, ...] = ()


@cache
def load_published() -> Published:
    """The numbers that come with the package.

    Raises:
        RecordError: As :func:`read_published`.
    """
    return read_published(FOLDER)


def read_published(folder: Path) -> Published:
    """Read every ``*.yml`` of a folder.

    Raises:
        RecordError: A file cannot be read, breaks the schema, names a source or protocol that
            it does not have, or a fact stands twice. The message names the file and the entry.
    """
    results: list[PublishedResult] = []
    costs: list[PublishedCost] = []
    seen: dict[Hashable, str] = {}
    for path in sorted(Path(folder).glob('*.yml')):
        data = _read_yaml(path)
        check_schema(data, 'published', path.name)
        for where, entry in _entries(data, 'entries', path):
            for result in _results(data, entry, where):
                _refuse_repeated(_identity(result), where, seen)
                results.append(result)
        for where, entry in _entries(data, 'costs', path):
            cost = PublishedCost(**_resolved(data, entry, where))
            key = (cost.method, cost.variant, cost.backbone, cost.pretrain_epochs, cost.quantity)
            _refuse_repeated((*key, cost.source), where, seen)
            costs.append(cost)
    return Published(tuple(results), tuple(costs))


# libyaml's parser where there is one, ten times as fast.
class _Loader(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):
    """Refuses a key that stands twice, where YAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f'key {key.value!r} stands twice', key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text('utf-8'), _Loader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecordError(f'{path.name}: cannot be read ({error}). Mend the file.') from error


def _entries(data: Mapping, kind: str, path: Path) -> Iterator[tuple[str, Mapping]]:
    for number, entry in enumerate(data.get(kind, []), 1):
        name = f'{entry["method"]} {entry["backbone"]}'
        yield f'{path.name}: {kind}, number {number} ({name})', entry


def _results(data: Mapping, entry: Mapping, where: str) -> Iterator[PublishedResult]:
    fields = _resolved(data, entry, where)
    named = _look_up(data, 'protocols', fields.pop('protocol'), where)
    protocol = PublishedProtocol(**named)
    for metric, value in fields.pop('values').items():
        yield PublishedResult(**fields, protocol=protocol, metric=metric, value=float(value))


def _resolved(data: Mapping, entry: Mapping, where: str) -> dict[str, Any]:
    source = PublishedSource(**_look_up(data, 'sources', entry['source'], where))
    return {**entry, 'source': source}


def _look_up(data: Mapping, kind: str, name: str, where: str) -> Mapping:
    if name not in data[kind]:
        near = difflib.get_close_matches(name, data[kind], n=1)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise RecordError(
            f'{where}: {name!r} is not among the {kind} of the file '
            f'({", ".join(data[kind]) or "none"}).{hint}'
        )
    return data[kind][name]


def _identity(result: PublishedResult) -> Hashable:
    """All that tells two facts apart: everything but the value and what is said about it."""
    names = (result.method, result.variant, result.backbone, result.pretrain_epochs)
    return (*names, result.metric, result.protocol, result.source)


def _refuse_repeated(identity: Hashable, where: str, seen: dict[Hashable, str]) -> None:
    if identity in seen:
        raise RecordError(
            f'{where}: the same fact stands in {seen[identity]}. Delete one of them, or say '
            'what differs.'
        )
    seen[identity] = where


# Patch and window sizes, which follow from the method's recipe.
_SIZES = re.compile(r'-[pw]\d+(?=-|$)')


def network_family(backbone: str) -> str:
    """The name under which a record's and a published backbone are held to be the same.

    Sizes of patches and windows do not count, nor whether a ViT is BEiT's kind: the method
    implies them. UM-MAE's Swin is another network than the standard one.
    """
    return _SIZES.sub('', backbone).removeprefix('beit-')
