"""A step of a suite: one command, what it needs, and what tells that it is done. Pure data."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mim_bench.errors import ConfigError


@dataclass(frozen=True)
class Step:
    """One subprocess.

    Attributes:
        name: Unique in a plan, a valid file name, and what the terminal shows.
        words: Arguments of ``mim-bench``.
        records: Records that must be done for the step to be done.
        files: Other files that must exist.
        work_dir: Where the step keeps its checkpoints; put aside if its inputs changed.
        needs: Names of steps that must be done before.
        inputs: Hash of what the step reads and its command does not name.
        identity: What of the words decides the result; all of them if None.
        gpus: Processes of a run, each on a GPU of its own where there are any; 0 for a step
            that computes nothing.
        trial_words: Arguments of ``mim-bench`` that try the step out before it has what it
            needs; empty where there is nothing to try.
        dataset: What the step reads, and its folder, for a check of it.
        need_stuff: It reads COCO's stuff maps, too.
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
    trial_words: tuple[str, ...] = ()
    dataset: tuple[str, str] | None = None
    need_stuff: bool = False

    @property
    def fingerprint(self) -> str:
        """Changes when the step must run again."""
        text = json.dumps([self.words if self.identity is None else self.identity, self.inputs])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Outcome:
    """What became of the steps of a plan.

    Attributes:
        done: Steps that were done before, or that another suite did meanwhile.
        ran: Steps that this execution ran, with seconds.
        failed: Steps that failed, with the last lines of their log.
        skipped: Steps that could not run because another failed.
    """

    done: list[str] = field(default_factory=list)
    ran: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether nothing failed."""
        return not self.failed and not self.skipped


def check_plan(plan: Sequence[Step]) -> None:
    """Refuse a plan of which a part could never run.

    Raises:
        ConfigError: Two steps share a name, or a step needs one that does not stand before it.
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
        finished: Names of those that are done.
        started: Names of those that ever started.
        lost: Names of those that failed or depend on one that did.
    """
    taken = finished | started | lost
    return [s for s in plan if s.name not in taken and set(s.needs) <= finished]


def lost_steps(plan: Sequence[Step], lost: set[str]) -> list[Step]:
    """Steps that need a lost one, and are not among the lost yet."""
    return [s for s in plan if s.name not in lost and set(s.needs) & lost]
