"""Numbers that others published, each with the row of the table that it was read in.

One YAML file a repository lies beside this module; the models below are its schema. None of
these numbers is of this project.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from mim_bench.errors import RecordError, did_you_mean
from mim_bench.files.validation import Model, read_yaml
from mim_bench.results.record import Count, Share

FOLDER = Path(__file__).parent

Metric = Literal[
    'top1', 'top5', 'mIoU', 'bbox_mAP', 'segm_mAP', 'mAP', 'error_rate', 'RMSE',
    'gpu_hours', 'wall_hours',
]  # fmt: skip
Key = Annotated[str, Field(pattern=r'^[a-z0-9]+(-[a-z0-9]+)*$')]
Text = Annotated[str, Field(min_length=1, max_length=300)]
Positive = Annotated[float, Field(gt=0)]


class Pretraining(Model):
    """What the weights had learned from before the downstream training; null: not stated."""

    data: Text | None = None
    """Images of the pre-training."""
    epochs: Count | None = None
    counts_views: bool = False
    """Whether the epochs may count views of an image, of which one epoch has several."""
    labels: Text | None = None
    """Labels seen so far, intermediate fine-tuning included, or ``none``. Targets of CLIP or of a
    tokenizer are no labels."""
    note: Text | None = None

    @property
    def saw_labels(self) -> bool:
        """Whether labels are stated to have been seen."""
        return self.labels not in (None, 'none')


class PublishedProtocol(Model):
    """How a number was measured, as far as its source states it."""

    task: Key
    """Name of the task, in this project if it has it."""
    ours: Key | None = None
    """Protocol of this project, only where it is this very recipe."""
    unit: Text = '%'
    """Unit of the values."""
    head: Text | None = None
    """Head or detector."""
    epochs: Count | None = None
    """Epochs of the downstream training."""
    iterations: Count | None = None
    """Updates of it."""
    schedule: Text | None = None
    """Name of the schedule, for example ``3x``."""
    resolution: Count | None = None
    """Side of the input, the crop or the jittered image in pixels."""
    batch: Count | None = None
    """Images per update."""
    optimizer: Text | None = None
    lr: Positive | None = None
    """Peak learning rate at this batch."""
    blr: Positive | None = None
    """Peak learning rate for ``blr_batch`` images, where the source scales it with the batch."""
    blr_batch: Count = 256
    layer_decay: Share | None = None
    weight_decay: Share | None = None
    drop_path: Share | None = None
    precision: Text | None = None
    init: Text | None = None
    """Weights that the training started from, where not the pre-trained ones."""
    test: Literal['single-scale', 'multi-scale'] | None = None
    """Whether several views of an image were averaged."""
    test_size: Text | None = None
    """Size of the image, or window and stride of a sliding test."""
    split: Text = 'val'
    command: Text | None = None
    """Command or config that the source gives."""
    note: Text | None = None
    other: dict[str, bool | int | float | str] = Field(default={})
    """Further settings by name."""

    @property
    def peak_lr(self) -> float | None:
        """The learning rate at the stated batch; None where it is not known."""
        if self.blr is None or self.batch is None:
            return self.lr
        return self.blr * self.batch / self.blr_batch


class _Cited(Model):
    """What an entry of a file and a result share."""

    method: Key
    """Pre-training method."""
    variant: Key | None = None
    """Tells pre-trainings of one method apart, for example by the target."""
    backbone: Key
    params: Annotated[str, Field(pattern=r'^[\d.]+[MB]$')] | None = None
    """Parameters as printed, of the backbone or of the whole model."""
    by: Text = 'own'
    """Who measured: ``own`` are the authors of the method."""
    note: Text | None = None
    row: Text
    """The quoted row, with its cells between bars; cells left out are ``…``."""


class QuotedRow(_Cited):
    """One quoted row."""

    pretrain: Key
    values: dict[Key, dict[Metric, Positive]] = Field(min_length=1)
    """Values by the name of their protocol and by metric."""


class SourceFile(Model):
    """The published numbers of one repository or paper."""

    repository: Annotated[str, Field(pattern=r'^[\w.-]+/[\w.-]+$')] | None = None
    commit: Annotated[str, Field(pattern=r'^[0-9a-f]{40}$|^v[\d.]+$')] | None = None
    by: Text = 'own'
    """Default of the rows."""
    note: Text | None = None
    pretrain: dict[Key, Pretraining]
    protocols: dict[Key, PublishedProtocol]
    rows: dict[Text, list[QuotedRow]] = Field(min_length=1)
    """Rows by the file that they stand in, or by paper."""


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

    @property
    def shown_value(self) -> str:
        """The number with at least one decimal."""
        text = f'{self.value:g}'
        return text if '.' in text else f'{self.value:.1f}'

    @property
    def measured_as(self) -> str:
        """How the number was measured, as far as its source states it."""
        p = self.protocol
        length = f'{p.epochs} epochs' if p.epochs else p.schedule
        parts = [
            p.head,
            length or (p.iterations and f'{p.iterations:,} iterations'),
            p.resolution and f'{p.resolution} px',
            p.batch and f'batch {p.batch:,}',
            p.peak_lr and f'rate {p.peak_lr:g}',
            p.layer_decay and f'layer decay {p.layer_decay:g}',
            p.init and f'from: {p.init}',
            p.test,
            p.split if p.split != 'val' else None,
            p.note,
        ]
        return '; '.join(filter(None, parts)) or 'not stated'

    @property
    def pretrained_for(self) -> str:
        """Variant, epochs and labels of the pre-training, as far as they are stated."""
        pretrain = self.pretrain
        epochs = f'{pretrain.epochs:,} epochs' if pretrain.epochs is not None else ''
        epochs += ' (perhaps views)' if epochs and pretrain.counts_views else ''
        labels = f'labels: {pretrain.labels}' if pretrain.saw_labels else ''
        return ', '.join(filter(None, (self.variant, epochs, labels)))

    @property
    def published_by(self) -> str:
        """Whether the authors of the method published it, or who else."""
        return 'its authors' if self.is_own else self.by


@cache
def load_published() -> tuple[PublishedResult, ...]:
    """The numbers that come with the package, as :func:`read_published` reads them."""
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
    source = read_yaml(SourceFile, path, RecordError)
    seen = set()
    for file, entries in source.rows.items():
        for entry in entries:
            where = f'{path}: {file}: {entry.method} {entry.backbone}, row {entry.row!r}'
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
    source: SourceFile, file: str, entry: QuotedRow, where: str
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
            f'{where}: {name!r} is not defined in the file.{did_you_mean(name, known)} '
            f'Known: {", ".join(known)}.'
        )
    return known[name]


def network_family(backbone: str) -> str:
    """The name under which a record's and a published backbone are held to be the same.

    Sizes of windows and the common patch of 16 do not count, nor whether a ViT is BEiT's kind:
    the method implies them. UM-MAE's Swin is another network than the standard one.
    """
    return re.sub(r'-(p16|w\d+)(?=-|$)', '', backbone).removeprefix('beit-')
