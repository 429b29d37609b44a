"""The record of one run as plain data.

Nothing here knows of JSON or touches a disk; see :mod:`mim_bench.results.record_data` and
:mod:`mim_bench.results.store` for that.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

SCHEMA_VERSION = 1

Status = Literal['done', 'failed']
Tier = Literal['smoke', 'proxy', 'full']
Origin = Literal['run', 'collected']
PictureKind = Literal['reconstruction', 'segmentation', 'detection']

# The method of a checkpoint that was not pre-trained.
RANDOM_METHOD = 'random'


@dataclass(frozen=True)
class Protocol:
    """What was measured, and how: only runs with the same ``hash`` and ``tier`` may be ranked."""

    name: str
    version: str
    hash: str
    tier: Tier


@dataclass(frozen=True)
class Checkpoint:
    """The pre-trained backbone that a run started from, or that it made. None: not known.

    Attributes:
        id: Names one row of the leaderboard.
        method: Of the pre-training.
        backbone: As the configs name it.
        source: Format of the file.
        sha256: Of the file that the user brought, not of its conversions. None for random
            weights and where the file does not exist yet.
        pretrain_epochs: Of the pre-training.
        pretrain_data: Data set of the pre-training, for example ``in1k``.
        labels: Data sets whose labels the weights are known to have seen; empty: none.
        params: Parameters of the backbone.
        img_size: Side of the images of the pre-training in pixels.
        licence: Of the weights.
        known_from: Where each of these facts is from, by field: what the user stated
            (``stated``), the run that made the file (``run``), the list of releases
            (``release``), its format (``format``) or its ``weights``.
    """

    id: str
    method: str
    backbone: str
    source: str = ''
    sha256: str | None = None
    pretrain_epochs: float | None = None
    pretrain_data: str | None = None
    labels: list[str] | None = None
    params: int | None = None
    img_size: int | None = None
    licence: str | None = None
    known_from: dict[str, str] = field(default_factory=dict)

    def saw_labels_of(self, task: str) -> bool | None:
        """Whether the weights saw labels of a task's data set; None where that is not known."""
        if self.labels is None:
            return None
        return any(share_labels(name, data_set_of(task)) for name in self.labels)


@dataclass(frozen=True)
class ConfigFile:
    """The config of a run; only a failed run may lack the hash of it.

    ``changed`` says whether options of the launch changed what the protocol's hash covers; None
    where that is not known, as of a run that was collected.
    """

    path: str
    sha256: str | None
    changed: bool | None = None


@dataclass(frozen=True)
class Metric:
    """One measured number. Accuracies, mIoU and AP stand in percent with unit ``%``."""

    value: float
    unit: str
    higher_is_better: bool
    split: str


@dataclass(frozen=True)
class Cost:
    """What a run took. Build it with :meth:`measured`, which keeps the hours consistent.

    What is not known is None; a run that writes its own record knows hours and devices.
    ``energy_joules`` is that of all devices, by their own counters.
    """

    gpu_hours: float | None
    device_hours: float | None
    wall_s: float | None
    device: str
    num_devices: int | None
    img_per_s: float | None = None
    data_wait_share: float | None = None
    peak_mem_bytes: int | None = None
    energy_joules: float | None = None

    @classmethod
    def measured(
        cls,
        *,
        wall_s: float,
        device: str,
        is_gpu: bool,
        num_devices: int = 1,
        img_per_s: float | None = None,
        data_wait_share: float | None = None,
        peak_mem_bytes: int | None = None,
        energy_joules: float | None = None,
    ) -> 'Cost':
        """The cost of a run that took ``wall_s`` seconds on ``num_devices`` devices.

        Args:
            wall_s: Wall time in seconds.
            device: Name of the device, for example ``cpu`` or ``NVIDIA H200``.
            is_gpu: Whether the hours count as GPU hours; on CPU those are 0.
            num_devices: GPUs, or processes on CPU.
            img_per_s: Training images a second, all devices together.
            data_wait_share: Share of the wall time spent waiting for data, 0 to 1.
            peak_mem_bytes: Highest memory use of one device.
            energy_joules: Energy that all devices took, where they count it.
        """
        device_hours = wall_s * num_devices / 3600
        return cls(
            gpu_hours=device_hours if is_gpu else 0.0,
            device_hours=device_hours,
            wall_s=wall_s,
            device=device,
            num_devices=num_devices,
            img_per_s=img_per_s,
            data_wait_share=data_wait_share,
            peak_mem_bytes=peak_mem_bytes,
            energy_joules=energy_joules,
        )


@dataclass(frozen=True)
class LoadReport:
    """How much of the backbone (or of the whole model) a checkpoint filled.

    Attributes:
        share: Of the parameters by number of values, 0 to 1.
        missing: Names that the file does not have.
        unexpected: Names that the module does not have.
        resized: Names whose tables the module brought to its own size.
        parts: ``share`` of each part directly below the module.
    """

    share: float | None
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """A picture that a run saved; ``path`` is relative to the record's folder."""

    path: str
    kind: PictureKind
    caption: str


@dataclass(frozen=True)
class Artifacts:
    """Files of a run beside its record; paths are relative to the record's folder.

    ``outcomes`` is what the model did on each image, ``protocol`` the settings that the
    protocol's hash covers.
    """

    curves: str | None = None
    pictures: list[Picture] = field(default_factory=list)
    outcomes: str | None = None
    protocol: str | None = None


@dataclass(frozen=True)
class Batch:
    """The images of one update of a training, and what followed for its learning rate.

    Attributes:
        gpus: Processes.
        images_per_gpu: In one forward pass of a process.
        accumulation: Forward passes an update.
        effective_batch: The product of these.
        recipe_batch: Images an update that the recipe is for.
        keep: What the run was asked to do about a difference.
        lr_scaling: The recipe's rule for the learning rate.
        lr_factor: What the recipe's learning rate was multiplied with.
        lr: The optimiser's learning rate; None where the config states none.
    """

    gpus: int
    images_per_gpu: int
    accumulation: int
    effective_batch: int
    recipe_batch: int
    keep: Literal['accumulate', 'scale-lr', 'off']
    lr_scaling: Literal['linear', 'sqrt', 'none']
    lr_factor: float
    lr: float | None = None


@dataclass(frozen=True)
class RunRecord:
    """Everything that is known about one run, failed runs included.

    ``precision`` (``fp32``, ``fp16``, ``bf16`` or ``custom``) and ``batch`` are those of a
    training; None for a test. ``origin`` says whether the run wrote its record, or ``mim-bench
    collect`` made it of what a run left.
    """

    run_id: str
    status: Status
    task: str
    protocol: Protocol
    checkpoint: Checkpoint
    config: ConfigFile
    seed: int
    metrics: dict[str, Metric]
    cost: Cost
    env: dict[str, str]
    started_at: str
    primary_metric: str | None = None
    load: LoadReport | None = None
    error: str | None = None
    artifacts: Artifacts = field(default_factory=Artifacts)
    precision: str | None = None
    batch: Batch | None = None
    origin: Origin = 'run'
    schema_version: int = SCHEMA_VERSION

    @property
    def is_pretraining(self) -> bool:
        """Whether the run made its checkpoint instead of starting from it."""
        return self.task.startswith('pretrain')


def data_set_of(task: str) -> str:
    """The data set whose labels a task uses: ``in1k`` of ``in1k-10pct-ft``."""
    return task.partition('-')[0]


def share_labels(one: str, other: str) -> bool:
    """Whether two data sets have labels in common: ImageNet-22K has those of ImageNet-1K."""
    return one == other or all(re.fullmatch(r'in\d+k', name) for name in (one, other))


def utc_now() -> str:
    """The present moment in the form of ``started_at``."""
    return datetime.now(timezone.utc).isoformat(timespec='seconds')
