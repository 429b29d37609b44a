"""Numbers that others published, each with the row of the table that it was read in.

One YAML file a repository in ``mim_bench/published``; the models below are its schema. None of
these numbers is of this project.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import mim_bench
from mim_bench.errors import RecordError

FOLDER = Path(mim_bench.__file__).parent / 'published'

Metric = Literal[
    'top1', 'top5', 'mIoU', 'bbox_mAP', 'segm_mAP', 'mAP', 'error_rate', 'RMSE',
    'gpu_hours', 'wall_hours',
]  # fmt: skip
Key = Annotated[str, Field(pattern=r'^[a-z0-9]+(-[a-z0-9]+)*$')]
Text = Annotated[str, Field(min_length=1, max_length=300)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra='forbid', frozen=True, strict=True)


class Pretraining(_Model):
    """What the weights had learned from before the downstream training.

    Attributes:
        data: Images of the pre-training.
        epochs: None where none are stated.
        counts_views: The epochs may count views of an image, of which one epoch has several.
        labels: Labels seen so far, intermediate fine-tuning included; ``none``, or None where it
            is not stated. Targets of CLIP or of a tokenizer are no labels.
    """

    data: Text | None = None
    epochs: Count | None = None
    counts_views: bool = False
    labels: Text | None = None
    note: Text | None = None

    @property
    def saw_labels(self) -> bool:
        """Whether labels are stated to have been seen."""
        return self.labels not in (None, 'none')


class PublishedProtocol(_Model):
    """How a number was measured, as far as its source states it.

    Attributes:
        task: Name of the task, in this project if it has it.
        ours: Protocol of this project, only where it is this very recipe.
        unit: Of the values; ``%`` for most.
        head: Head or detector.
        epochs: Of the downstream training.
        iterations: Updates of it.
        schedule: Its name, for example ``3x``.
        resolution: Side of the input, the crop or the jittered image in pixels.
        batch: Images an update.
        lr: Peak learning rate at this batch.
        blr: The same for ``blr_batch`` images, where the source scales it with the batch.
        init: Weights that the training started from, where not the pre-trained ones.
        test: Whether several views of an image were averaged.
        test_size: Of the image, or window and stride of a sliding test.
        command: Command or config that the source gives.
        other: Further settings by name.
    """

    task: Key
    ours: Key | None = None
    unit: Text = '%'
    head: Text | None = None
    epochs: Count | None = None
    iterations: Count | None = None
    schedule: Text | None = None
    resolution: Count | None = None
    batch: Count | None = None
    optimizer: Text | None = None
    lr: Positive | None = None
    blr: Positive | None = None
    blr_batch: Count = 256
    layer_decay: Share | None = None
    weight_decay: Share | None = None
    drop_path: Share | None = None
    precision: Text | None = None
    init: Text | None = None
    test: Literal['single-scale', 'multi-scale'] | None = None
    test_size: Text | None = None
    split: Text = 'val'
    command: Text | None = None
    note: Text | None = None
    other: dict[str, bool | int | float | str] = {}

    @property
    def peak_lr(self) -> float | None:
        """The learning rate at the stated batch; None where it is not known."""
        if self.blr is None or self.batch is None:
            return self.lr
        return self.blr * self.batch / self.blr_batch


class _Cited(_Model):
    """What an entry of a file and a result share.

    Attributes:
        method: Pre-training method.
        variant: Tells pre-trainings of one method apart, for example by the target.
        params: As printed, of the backbone or of the whole model.
        by: Who measured: ``own`` are the authors of the method.
        row: The quoted row, with its cells between bars; cells left out are ``…``.
    """

    method: Key
    variant: Key | None = None
    backbone: Key
    params: Annotated[str, Field(pattern=r'^[\d.]+[MB]$')] | None = None
    by: Text = 'own'
    note: Text | None = None
    row: Text


class _Entry(_Cited):
    """Values of one row by the name of their protocol and by metric."""

    pretrain: Key
    values: dict[Key, dict[Metric, Positive]] = Field(min_length=1)


class _SourceFile(_Model):
    """One repository; ``by`` is the default of its rows, which stand by the file they are in."""

    repository: Annotated[str, Field(pattern=r'^[\w.-]+/[\w.-]+$')] | None = None
    commit: Annotated[str, Field(pattern=r'^[0-9a-f]{40}$|^v[\d.]+$')] | None = None
    by: Text = 'own'
    note: Text | None = None
    pretrain: dict[Key, Pretraining]
    protocols: dict[Key, PublishedProtocol]
    rows: dict[Text, list[_Entry]] = Field(min_length=1)


class PublishedResult(_Cited):
    """One number; ``file`` is the one of the repository, or the paper, that has the row."""

    pretrain: Pretraining
    protocol: PublishedProtocol
    metric: Metric
    value: float
    repository: str | None
    commit: str | None
    file: str

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.protocol.task

    @property
    def is_own(self) -> bool:
        """Whether the authors of the method measured it."""
        return self.by == 'own' or self.by.startswith('authors, ')

    @property
    def label(self) -> str:
        """Repository with its commit, and the file in it; or the paper."""
        if self.commit is None:
            return self.file
        return f'{self.repository}@{self.commit[:7]}, {self.file}'

    @property
    def link(self) -> str:
        """The address of the file, or of the paper."""
        if paper := re.search(r'arXiv:(\S+)', self.file):
            return f'https://arxiv.org/abs/{paper[1]}'
        return f'https://github.com/{self.repository}/blob/{self.commit}/{self.file}'


@cache
def load_published() -> tuple[PublishedResult, ...]:
    """The numbers that come with the package.

    Raises:
        RecordError: As :func:`read_published`.
    """
    return read_published(FOLDER)


def read_published(folder: Path) -> tuple[PublishedResult, ...]:
    """Read every ``*.yml`` of a folder, in the order of the files and of the entries in them.

    Raises:
        RecordError: A file cannot be read or breaks the schema, an entry names something that
            its file does not have, a value is not in its row, or a fact stands twice. The message
            names the file and the entry.
    """
    return tuple(r for path in sorted(Path(folder).glob('*.yml')) for r in _read_file(path))


def _read_file(path: Path) -> Iterator[PublishedResult]:
    try:
        data = yaml.load(path.read_text('utf-8'), _Loader)  # noqa: S506 - a SafeLoader
        source = _SourceFile.model_validate(data)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecordError(f'{path.name}: cannot be read ({error}). Mend the file.') from error
    except ValidationError as error:
        raise RecordError(f'{path.name}: {_first_error(error, data)}') from error
    seen = set()
    for file, entries in source.rows.items():
        for entry in entries:
            where = f'{path.name}: {file}: {entry.method} {entry.backbone}, row {entry.row!r}'
            for result in _results(source, file, entry, where):
                fact = result.model_dump_json(exclude={'value'})
                if fact in seen:
                    raise RecordError(
                        f'{where}: {result.metric} of {result.task} stands twice. Delete one, '
                        'or say in a note what differs.'
                    )
                seen.add(fact)
                yield result


def _results(
    source: _SourceFile, file: str, entry: _Entry, where: str
) -> Iterator[PublishedResult]:
    if not (source.repository and source.commit) and 'arXiv:' not in file:
        raise RecordError(f'{where}: name a repository and its commit, or a paper as arXiv:NUMBER.')
    printed = {float(number) for number in re.findall(r'\d+(?:\.\d+)?', entry.row)}
    shared = entry.model_dump(exclude={'values', 'pretrain'}) | {
        'by': entry.by if 'by' in entry.model_fields_set else source.by,
        'pretrain': _look_up(source.pretrain, entry.pretrain, where),
        'repository': source.repository,
        'commit': source.commit,
        'file': file,
    }
    for name, values in entry.values.items():
        protocol = _look_up(source.protocols, name, where)
        for metric, value in values.items():
            if value not in printed:
                raise RecordError(f'{where}: {value:g} is not among the numbers of the row.')
            yield PublishedResult(**shared, protocol=protocol, metric=metric, value=value)


def _look_up(known: dict[str, Any], name: str, where: str) -> Any:
    if name not in known:
        raise RecordError(
            f'{where}: {name!r} is not defined in the file. Known: {", ".join(known)}.'
        )
    return known[name]


def _first_error(error: ValidationError, data: Any) -> str:
    """Where a file first breaks the schema, with the entry in words, and how."""
    first = error.errors()[0]
    node, words = data, []
    for key in first['loc']:
        words.append(str(key))
        if isinstance(node, dict | list):
            try:
                node = node[key]
            except (KeyError, IndexError, TypeError):
                break
        if isinstance(node, dict) and 'row' in node:
            words[-1] = f'{key + 1} ({node.get("method")} {node.get("backbone")})'
    return ': '.join([*words, f'{first["msg"]}.'])


# libyaml's parser where there is one, ten times as fast.
class _Loader(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):
    """Refuses a key that stands twice, where YAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f'key {key!r} stands twice', node.start_mark
                )
        return super().construct_mapping(node, deep)


# Patches of 16 and sizes of windows, which follow from the method's recipe.
_SIZES = re.compile(r'-(p16|w\d+)(?=-|$)')


def network_family(backbone: str) -> str:
    """The name under which a record's and a published backbone are held to be the same.

    Sizes of windows and the common patch of 16 do not count, nor whether a ViT is BEiT's kind:
    the method implies them. UM-MAE's Swin is another network than the standard one.
    """
    return _SIZES.sub('', backbone).removeprefix('beit-')
