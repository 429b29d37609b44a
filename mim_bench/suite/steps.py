"""Steps of a suite: command, dependencies, and the files that show that it is done. Pure data."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mim_bench.errors import ConfigError
from mim_bench.suite.resources import Resources


@dataclass(frozen=True)
class Step:
    """One subprocess of a suite.

    Attributes:
        name: Unique name in a plan; a valid file name; shown in the terminal.
        words: Arguments of ``mim-bench``.
        records: Records that must be valid and done.
        files: Other files that must exist.
        work_dir: Folder of the step's checkpoints; moved aside if its inputs changed.
        needs: Names of steps that must be done first.
        inputs: Hash of inputs that the command does not name.
        identity: The words that decide the result; all of them if None.
        gpus: Processes of a run on each node, each on its own GPU if there are GPUs; 0 for a step
            that computes nothing.
        resources: What its job asks a cluster for.
        trial_words: Arguments of ``mim-bench`` for the dry run of the step, before it has what it
            needs; empty if there is none.
        dataset: Data set that the step reads, and its folder.
        need_stuff: Whether it reads COCO's stuff maps.
        seconds: Measured time on one core, for the time left of a plan; None if not measured.
    """

    name: str
    words: tuple[str, ...]
    records: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()
    work_dir: Path | None = None
    needs: tuple[str, ...] = ()
    inputs: str = ''
    identity: tuple[str, ...] | None = None
    gpus: int = 0
    resources: Resources = field(default_factory=Resources)
    trial_words: tuple[str, ...] = ()
    dataset: tuple[str, str] | None = None
    need_stuff: bool = False
    seconds: float | None = None

    @property
    def processes(self) -> int:
        """Processes of a run on all its nodes."""
        return self.gpus * self.resources.nodes

    @property
    def fingerprint(self) -> str:
        """Hash that changes when the step must run again."""
        text = json.dumps([self.words if self.identity is None else self.identity, self.inputs])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Outcome:
    """Result of executing a plan.

    Attributes:
        done: Steps that were done before, or by another suite meanwhile.
        ran: Steps that this execution ran, with their seconds.
        failed: Steps that failed, with the last lines of their log.
        skipped: Steps that could not run because another failed.
    """

    done: list[str] = field(default_factory=list)
    ran: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether no step failed or was skipped."""
        return not self.failed and not self.skipped


def check_plan(plan: Sequence[Step]) -> None:
    """Refuse a plan with steps that can never run.

    Raises:
        ConfigError: Two steps share a name, or a step needs one that is not before it.
    """
    names: set[str] = set()
    for step in plan:
        if step.name in names:
            raise ConfigError(f'The plan has two steps {step.name!r}. Give each its own name.')
        unknown = sorted(set(step.needs) - names)
        if unknown:
            raise ConfigError(
                f'Step {step.name!r} needs {", ".join(unknown)}, but no step before it is that. '
                'Correct its needs, or the order of the plan.'
            )
        names.add(step.name)


def ready_steps(
    plan: Sequence[Step], finished: set[str], started: set[str], lost: set[str]
) -> list[Step]:
    """The steps that can start now, in the order of the plan.

    Args:
        plan: All steps.
        finished: Names of steps that are done.
        started: Names of steps that were started.
        lost: Names of steps that failed or depend on a failed one.
    """
    taken = finished | started | lost
    return [s for s in plan if s.name not in taken and set(s.needs) <= finished]


def lost_steps(plan: Sequence[Step], lost: set[str]) -> list[Step]:
    """Further steps that need a lost one."""
    return [s for s in plan if s.name not in lost and set(s.needs) & lost]
