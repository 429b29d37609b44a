"""What the job of a step asks its cluster for; the file that describes a cluster."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from mim_bench.errors import ConfigError, did_you_mean
from mim_bench.files.validation import Model, explain, read_yaml
from mim_bench.results.record import Count, Name

Positive = Annotated[float, Field(gt=0)]
_TEXTS = ('partition', 'account', 'qos', 'constraint', 'exclude', 'reservation')
# Steps that compute nothing, as a task of a cluster's file.
CPU = 'cpu'


class Resources(Model):
    """Resources of one job. A value that is not set is left to the scheduler."""

    nodes: Count = 1
    """Nodes of a run; one torchrun starts on each."""
    gpus_per_node: Annotated[int, Field(ge=0)] | None = None
    """GPUs, with a process each, on every node."""
    cpus_per_gpu: Count = 8
    """Cores for each GPU; a step without GPUs takes as many."""
    memory_gb: Positive | None = None
    """Memory of a node in GB."""
    hours: Positive | None = None
    """Time limit of a job. A training saves before it and is queued again."""
    partition: Name | None = None
    """Partition, or queue."""
    account: Name | None = None
    """Account that is charged."""
    qos: Name | None = None
    """Quality of service."""
    constraint: Name | None = None
    """Features that the nodes must have."""
    exclude: Name | None = None
    """Nodes to avoid."""
    reservation: Name | None = None
    """Reservation to use."""
    setup: tuple[str, ...] = ()
    """Lines of shell at the beginning of a job, for example ``module load cuda``."""
    options: dict[Name, str | int | bool] = Field(default_factory=dict)
    """Further options of the scheduler by long name: ``{gres: 'nvme:1'}``."""

    def changed(self, *others: 'Resources') -> 'Resources':
        """These resources with what others set; the last one that sets a value wins."""
        values = self.model_dump(exclude_unset=True)
        for other in others:
            values |= other.model_dump(exclude_unset=True)
        return Resources.model_construct(_fields_set=set(values), **values)


class Limits(Model):
    """The most that one job of a cluster may ask for."""

    nodes: Count | None = None
    gpus_per_node: Count | None = None
    memory_gb: Positive | None = None
    hours: Positive | None = None


class Cluster(Model):
    """A cluster: its scheduler, and what jobs ask for."""

    executor: Literal['slurm', 'command'] = 'slurm'
    """``slurm``, or ``command`` for a scheduler that is driven by the templates below."""
    submit_command: Name | None = None
    """Template of the command that submits a script; the last word that it prints is the id."""
    after_option: Name | None = None
    """Words that make ``submit_command`` wait for the jobs ``{after}``, which a colon separates;
    they are put after its first word. Without them, ``--detach`` submits what can start."""
    cancel_command: Name | None = None
    """Template of the command that cancels ``{id}``."""
    status_command: Name | None = None
    """Template of the command that prints ``{id}``'s state in Slurm's words. Without one, a job is
    lost when its heartbeat stops."""
    defaults: Resources = Resources()
    """Resources of every run."""
    tasks: dict[Name, Resources] = Field(default_factory=dict)
    """Resources that differ for a task; ``cpu``: for steps that compute nothing."""
    limits: Limits = Limits()
    """What is refused before anything is submitted."""

    def of(self, tasks: Sequence[str]) -> Resources:
        """The resources of a run that does some tasks."""
        return self.defaults.changed(*(self.tasks[task] for task in tasks if task in self.tasks))

    def changed(self, words: Sequence[str]) -> 'Cluster':
        """This cluster with ``KEY=VALUE`` for all runs and ``TASK.KEY=VALUE`` for one task.

        Raises:
            ConfigError: Words are no such pairs, or a value is not what its key takes.
        """
        values: dict[str, dict[str, Any]] = {'': {}}
        for word in words:
            place, equals, text = word.partition('=')
            if not equals:
                raise ConfigError(f'--resources {word}: write KEY=VALUE or TASK.KEY=VALUE.')
            task, _, key = place.rpartition('.')
            values.setdefault(task, {})[key] = text if key in _TEXTS else yaml.safe_load(text)
        given = {task: _parse(keys, task) for task, keys in values.items()}
        every = given.pop('')
        tasks = {name: own.changed(every) for name, own in self.tasks.items()}
        for name, own in given.items():
            tasks[name] = tasks.get(name, Resources()).changed(own)
        update = {'defaults': self.defaults.changed(every), 'tasks': tasks}
        return self.model_copy(update=update)


def _parse(values: Mapping[str, Any], task: str) -> Resources:
    try:
        return Resources.model_validate(values, strict=False)
    except ValidationError as error:
        where = f'--resources of {task}' if task else '--resources'
        raise ConfigError(f'{where}: {explain(error, Resources)}') from None


def read_cluster(path: Path | None) -> Cluster:
    """The cluster that a YAML file describes; without one, a Slurm cluster with no defaults.

    Raises:
        ConfigError: The file cannot be read, or is wrong; the message names every place.
    """
    return Cluster() if path is None else read_yaml(Cluster, path, ConfigError)


def cluster_problems(cluster: Cluster, known: Sequence[str]) -> list[str]:
    """What is wrong with a cluster, whichever steps it gets.

    Args:
        cluster: The cluster.
        known: Tasks of the suite.
    """
    found = [
        f'tasks.{name}: the suite has no such task.{did_you_mean(name, [*known, CPU])}'
        for name in cluster.tasks
        if name not in (*known, CPU)
    ]
    submit = cluster.submit_command
    if cluster.executor == 'command' and (submit is None or '{script}' not in submit):
        found.append(
            '--executor command needs --submit-command with {script} in it, for example '
            "'qsub -N {name} {script}'"
        )
    return found


def step_problems(
    name: str, resources: Resources, gpus: int, limits: Limits, computes: bool
) -> list[str]:
    """What a job asks for and cannot get."""
    found = []
    if resources.hours is None:
        found.append('has no time limit: hours=H')
    if computes and not gpus:
        found.append('has no GPUs: gpus_per_node=N')
    asked = {**resources.model_dump(), 'gpus_per_node': gpus}
    for key, most in limits.model_dump(exclude_none=True).items():
        if (asked[key] or 0) > most:
            found.append(f'asks for {key} {asked[key]:g}, but the cluster allows {most:g}')
    return [f'{name} {problem}' for problem in found]
