"""The record of one run and its curves: their fields, what each may hold, and what they mean.

The classes are plain data; annotations and the texts below the fields are read by pydantic, which
checks a record when it is written or read (:mod:`mim_bench.results.store`), and makes its JSON
Schema and the table of its fields. Nothing here touches a disk.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator, with_config

from mim_bench.errors import ConfigError
from mim_bench.files.validation import STRICT

SCHEMA_VERSION = 1
# Larger whole numbers lose digits in other readers of JSON, and overflow a float.
LARGEST_INTEGER = 2**53
# The method of a checkpoint that was not pre-trained.
RANDOM_METHOD = 'random'
# The name of a folder: no slash, no leading dot.
RUN_ID = r'^[^./\\\x00-\x1f][^/\\\x00-\x1f]*$'
RUN_ID_LENGTH = 200


def _moment(text: str) -> str:
    datetime.fromisoformat(text.replace('Z', '+00:00'))  # raises ValueError for 30 February
    return text


def _below(path: str) -> str:
    if '..' in path.split('/'):
        raise ValueError(f'{path!r} leads out of the folder of the record')
    return path


def _complete_env(env: dict[str, str]) -> dict[str, str]:
    if missing := {'git', 'torch', 'mmengine', 'mmcv', 'library', 'python'} - set(env):
        raise ValueError(f'has no {", ".join(sorted(missing))}')
    return env


Status = Literal['done', 'failed']
Tier = Literal['smoke', 'proxy', 'full']
Origin = Literal['run', 'collected']
Cause = Literal[
    'error', 'out-of-memory', 'device', 'timeout', 'node-failure', 'preempted', 'user', 'killed'
]
PictureKind = Literal['reconstruction', 'segmentation', 'detection']
Name = Annotated[str, Field(min_length=1, max_length=300)]
Sha256 = Annotated[str, Field(pattern=r'^[0-9a-f]{64}$')]
Count = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
Amount = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
# With forward slashes, inside the record's folder.
RelativePath = Annotated[
    str, Field(pattern=r'^[^/\\\x00-\x1f][^\\\x00-\x1f]*$'), AfterValidator(_below)
]
Moment = Annotated[
    str,
    Field(pattern=r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?(Z|\+00:00)$'),
    AfterValidator(_moment),
]


@dataclass(frozen=True)
class Protocol:
    """What was measured, and how: only runs with the same ``hash`` and ``tier`` may be ranked."""

    name: Name
    """Name of the protocol."""
    version: Name
    """Version of the protocol."""
    hash: Annotated[str, Field(pattern='^[0-9a-f]{12}$')]
    """First digits of the SHA-256 of the settings that decide what a number means."""
    tier: Tier
    """``full``: the whole recipe; ``proxy``: a shortened one; ``smoke``: a trial."""


@dataclass(frozen=True)
class Checkpoint:
    """The pre-trained backbone that a run started from, or that it made. Null: not known."""

    id: Name
    """Names one row of the leaderboard."""
    method: Name
    """Pre-training method; ``random`` for weights that nobody trained."""
    backbone: Name
    """Name of the network, as the configs spell it."""
    source: str = ''
    """Format of the file."""
    sha256: Sha256 | None = None
    """Hash of the file that the user brought, not of its conversions; null for random weights and
    where the file does not exist yet."""
    pretrain_epochs: Amount | None = None
    """Epochs of the pre-training."""
    pretrain_data: Name | None = None
    """Data set of the pre-training, for example ``in1k``."""
    labels: list[Name] | None = None
    """Data sets whose labels the weights are known to have seen; an empty list: none."""
    params: Count | None = None
    """Parameters of the backbone."""
    img_size: Count | None = None
    """Side of the images of the pre-training in pixels."""
    licence: Name | None = None
    """Licence of the weights."""
    known_from: dict[str, str] = field(default_factory=dict)
    """Where each of these facts is from, by field: what the user stated (``stated``), the run that
    made the file (``run``), the list of releases (``release``), its format (``format``) or its
    ``weights``."""

    notes: list[str] = field(default_factory=list)
    """What was assumed as the file was read, and what of it was not taken."""

    def saw_labels_of(self, task: str) -> bool | None:
        """Whether the weights saw labels of a task's data set; None where that is not known."""
        if self.labels is None:
            return None
        return any(share_labels(name, data_set_of(task)) for name in self.labels)


@dataclass(frozen=True)
class ConfigFile:
    """The config of a run."""

    path: str
    """Path from ``configs/`` on."""
    sha256: Sha256 | None
    """Hash of the resolved content; null only in the record of a failed run."""
    changed: bool | None = None
    """Whether options of the launch changed what the protocol's hash covers; null where that is
    not known, as in a collected run."""


@dataclass(frozen=True)
class Metric:
    """One measured number."""

    value: float
    """Accuracies, mIoU and AP are in percent."""
    unit: str
    """``%``, or empty for a number without a unit."""
    higher_is_better: bool
    """Whether a larger value is a better one."""
    split: str
    """Part of the data set that was measured on."""


@dataclass(frozen=True)
class Cost:
    """What a run took. Build it with :meth:`measured`, which keeps the hours consistent.

    Null: not known; a run that writes its own record knows hours and devices.
    """

    gpu_hours: Amount | None
    """0 on a CPU."""
    device_hours: Amount | None
    """Wall time times number of devices, whatever the device."""
    wall_s: Amount | None
    """Wall time in seconds."""
    device: Name
    """Name of the device, for example ``cpu`` or ``NVIDIA H200``."""
    num_devices: Count | None
    """GPUs, or processes on a CPU."""
    img_per_s: Amount | None = None
    """Training images a second, all devices together."""
    data_wait_share: Share | None = None
    """Share of the wall time spent waiting for data."""
    peak_mem_bytes: Annotated[int, Field(ge=0, le=LARGEST_INTEGER)] | None = None
    """Highest memory use of one device."""
    energy_joules: Amount | None = None
    """Energy of all devices, by their own counters; null without such counters."""

    @classmethod
    def measured(
        cls, *, wall_s: float, device: str, is_gpu: bool, num_devices: int = 1, **known: Any
    ) -> 'Cost':
        """The cost of a run on ``num_devices`` GPUs, or processes on a CPU, which has no GPU hours.

        ``known`` are further fields.
        """
        hours = wall_s * num_devices / 3600
        return cls(hours if is_gpu else 0.0, hours, wall_s, device, num_devices, **known)


@dataclass(frozen=True)
class LoadReport:
    """How much of the backbone (or of the whole model) a checkpoint filled."""

    share: Share | None
    """Share of the parameters, by number of values."""
    missing: list[str] = field(default_factory=list)
    """Names that the file does not have."""
    unexpected: list[str] = field(default_factory=list)
    """Names that the module does not have."""
    resized: list[str] = field(default_factory=list)
    """Names whose tables the module brought to its own size."""
    parts: dict[str, Share] = field(default_factory=dict)
    """``share`` of each part directly below the module."""


@dataclass(frozen=True)
class Picture:
    """A picture that a run saved."""

    path: RelativePath
    """Path of the file."""
    kind: PictureKind
    """What it shows."""
    caption: str
    """Text below the picture."""


@dataclass(frozen=True)
class Artifacts:
    """Files of a run beside its record; paths are relative to the record's folder."""

    curves: RelativePath | None = None
    """Losses and accuracies over the course of the run."""
    pictures: list[Picture] = field(default_factory=list)
    """Pictures, newest last."""
    outcomes: RelativePath | None = None
    """What the model did on each image."""
    protocol: RelativePath | None = None
    """The settings that the protocol's hash covers."""


@dataclass(frozen=True)
class Batch:
    """The images of one update of a training, and what followed for its learning rate."""

    gpus: Count
    """Processes."""
    images_per_gpu: Count
    """Images in one forward pass of a process."""
    accumulation: Count
    """Forward passes per update."""
    effective_batch: Count
    """The product of these."""
    recipe_batch: Count
    """Images per update that the recipe is for."""
    keep: Literal['accumulate', 'scale-lr', 'off']
    """What the run was asked to do about a difference."""
    lr_scaling: Literal['linear', 'sqrt', 'none']
    """The recipe's rule for the learning rate."""
    lr_factor: Amount
    """What the recipe's learning rate was multiplied with."""
    lr: Amount | None = None
    """The optimiser's learning rate; null where the config states none."""


@with_config(STRICT)
@dataclass(frozen=True)
class RunRecord:
    """Everything that is known about one run, failed runs included."""

    run_id: Annotated[str, Field(pattern=RUN_ID, max_length=RUN_ID_LENGTH)]
    """Name of the folder of the record, so it has no slash and no leading dot."""
    status: Status
    """Whether the run measured what it should."""
    task: Name
    """Name of the task, for example ``pretrain``, ``in1k-ft`` or ``ade20k-upernet``."""
    protocol: Protocol
    """How it was measured."""
    checkpoint: Checkpoint
    """The backbone, a row of the leaderboard."""
    config: ConfigFile
    """The config of the run."""
    seed: Annotated[int, Field(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
    """Seed of the run."""
    metrics: dict[Name, Metric]
    """Metrics by name."""
    cost: Cost
    """What the run took."""
    env: Annotated[dict[str, str], AfterValidator(_complete_env)]
    """Versions of ``git``, ``python``, ``torch``, ``mmengine``, ``mmcv``, and the ``library`` that
    trained."""
    started_at: Moment
    """Time of the start, ISO 8601 in UTC."""
    primary_metric: str | None = None
    """The metric that ranks the run; one of an evaluation, except in a pre-training."""
    load: LoadReport | None = None
    """What the checkpoint filled; null where none was loaded."""
    error: Annotated[str, Field(min_length=1)] | None = None
    """Why a failed run failed; null if it is done."""
    cause: Cause | None = None
    """What ended a failed run: an ``error`` of its own, want of memory, a GPU or the connection of
    its processes (``device``), its time, its machine, ``preempted`` for good, the ``user``, or
    ``killed`` for an unknown reason; null if it is done, or the record does not say."""
    artifacts: Artifacts = field(default_factory=Artifacts)
    """Files beside the record."""
    precision: Literal['fp32', 'fp16', 'bf16', 'custom'] | None = None
    """Precision of a training; null for a test."""
    batch: Batch | None = None
    """Batch of a training; null for a test."""
    skipped_images: Annotated[int, Field(ge=0, le=LARGEST_INTEGER)] | None = None
    """Training images that could not be read and were left out (``--on-bad-image skip``); null
    where such an image stops the run."""
    limit: Name | None = None
    """Images of each data set that the run was limited to, the first (``64``) or a sample
    (``64:SEED``); null for a whole run."""
    origin: Origin = 'run'
    """``run`` if the run wrote the record, ``collected`` if ``mim-bench collect`` made it of what
    the run left."""
    schema_version: Annotated[int, Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    """Version of this list of fields."""

    @property
    def is_pretraining(self) -> bool:
        """Whether the run made its checkpoint instead of starting from it."""
        return self.task.startswith('pretrain')

    @model_validator(mode='after')
    def _check_outcome(self) -> 'RunRecord':
        """A failed run says why; one that is done has a config and the metric that ranks it."""
        if (self.status == 'failed') != (self.error is not None):
            raise ValueError(f'status is {self.status!r} and error is {self.error!r}')
        if self.status == 'failed':
            return self
        if self.config.sha256 is None:
            raise ValueError('config.sha256 is null, which only a failed run may leave open')
        if self.primary_metric is None and self.is_pretraining:
            return self
        if self.primary_metric not in self.metrics:
            known = ', '.join(self.metrics) or 'none'
            raise ValueError(
                f'primary_metric {self.primary_metric!r} is not among the metrics ({known})'
            )
        if self.metrics[self.primary_metric].split == 'train' and not self.is_pretraining:
            raise ValueError(f'primary_metric {self.primary_metric!r} is of no evaluation')
        return self


@with_config(STRICT)
@dataclass(frozen=True)
class Curve:
    """One quantity over the course of a run."""

    series: Name
    """Name of the quantity."""
    step_unit: Literal['epoch', 'iter']
    """Unit of the steps."""
    points: list[Annotated[list[float], Field(min_length=2, max_length=2)]]
    """Pairs of step and value."""


def check_run_id(run_id: str, where: str) -> None:
    """Refuse a name that a record cannot have.

    Raises:
        ConfigError: It is no name of a folder, or too long.
    """
    if not re.fullmatch(RUN_ID, run_id) or len(run_id) > RUN_ID_LENGTH:
        raise ConfigError(
            f'{where} {run_id!r}: the name of a folder is needed, without slashes and without a '
            f'dot at its beginning, of at most {RUN_ID_LENGTH} characters.'
        )


def run_id_of(name: str, task: str, *, is_only: bool) -> str:
    """The name of a task's record in a named run: that of the run, if it measures one task."""
    return name if is_only else f'{name}-{task}'


def data_set_of(task: str) -> str:
    """The data set whose labels a task uses: ``in1k`` of ``in1k-10pct-ft`` and ``imagenet-a``."""
    name = task.partition('-')[0]
    return 'in1k' if name == 'imagenet' else name  # its other test sets have its classes


def share_labels(one: str, other: str) -> bool:
    """Whether two data sets have labels in common: ImageNet-22K has those of ImageNet-1K."""
    return one == other or all(re.fullmatch(r'in\d+k', name) for name in (one, other))


def metric_name(metric: str) -> str:
    """The published name of a metric of ours, where probes have names of their own."""
    return re.sub('^(knn|linear|attentive)_', '', metric)


def utc_now() -> str:
    """The present moment in the form of ``started_at``."""
    return datetime.now(timezone.utc).isoformat(timespec='seconds')
