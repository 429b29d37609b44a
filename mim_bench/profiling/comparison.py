"""Profiles several configs side by side, each in its own process, in turns."""

import contextlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mim_bench.profiling.process import Worker
from mim_bench.profiling.training_step import StepSettings

REFERENCE = 'matrix product'
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """A config to profile.

    Attributes:
        name: Name in the table.
        config: Path of the config.
        options: Overrides by dotted key.
    """

    name: str
    config: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Entries and settings of a comparison; the first entry is the baseline.

    Attributes:
        entries: Configs to profile, at least one.
        settings: Settings of every step.
        batch_size: Images a step.
        threads: CPU threads of torch; torch decides if None.
        repeats: Number of timed turns of each entry.
        warmup: Number of steps before the first turn.
        finds_batch: Look for the largest batch first, which needs a GPU.
        seed: Seed of weights and batches.
    """

    entries: Sequence[Entry]
    settings: StepSettings
    batch_size: int = 8
    threads: int | None = None
    repeats: int = 10
    warmup: int = 3
    finds_batch: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of repeats."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> 'Spread':
        """Compute them from one value or more."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method='inclusive')
        return cls(median, low, high)


@dataclass(frozen=True)
class Profile:
    """Measurements of an entry.

    Attributes:
        name: Name of the entry.
        config: Config of the entry.
        options: Options of the entry.
        step_s: Seconds of a step, by repeat.
        img_per_s: Images a second.
        ratio: Speed relative to the first entry in the same turn.
        peak_mem_bytes: What a step needs beyond the idle process with its weights.
        num_parameters: Number of all parameters, frozen ones included.
        num_trainable: Number of parameters with gradients.
        flops_forward: Operations of the forward pass of an image.
        flops_step: Operations of forward and backward pass of an image.
        flop_per_s: Operations a second that the step achieves.
        share_of_reference: ``flop_per_s`` over that of the matrix product.
        num_steps: Steps that are timed together in each repeat.
        largest_batch: Largest batch that fits; None if it was not searched.
    """

    name: str
    config: str
    options: Mapping[str, Any]
    step_s: list[float]
    img_per_s: Spread
    ratio: Spread
    peak_mem_bytes: int
    num_parameters: int
    num_trainable: int
    flops_forward: float
    flops_step: float
    flop_per_s: float
    share_of_reference: float
    num_steps: int
    largest_batch: int | None


@dataclass(frozen=True)
class Comparison:
    """The profiles of a run, in the order of the plan, and the reference matrix product."""

    plan: Plan
    reference_flop_per_s: Spread
    profiles: list[Profile]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        plan = asdict(self.plan)
        plan.pop('entries')
        return {
            'schema_version': SCHEMA_VERSION,
            **plan.pop('settings'),
            **plan,
            'reference_flop_per_s': asdict(self.reference_flop_per_s),
            'profiles': [asdict(profile) for profile in self.profiles],
        }


def compare(plan: Plan, listen: Callable[[str], None] = lambda _: None) -> Comparison:
    """Profile the entries of a plan.

    Every entry has its own process. The processes take turns, one repeat at a time, so that
    disturbances affect all entries alike. The order is reversed in every second round, and a
    reference matrix product takes its turn too.

    Args:
        plan: What to profile.
        listen: Receives short messages about the progress.

    Raises:
        TrainingError: An entry cannot be profiled.
    """
    largest: dict[str, int] = {}
    if plan.finds_batch:
        for entry in plan.entries:
            listen(f'{entry.name}: looking for the largest batch')
            largest[entry.name] = _find_batch(plan, entry)
    with contextlib.ExitStack() as stack:
        jobs = [(REFERENCE, _job(plan)), *((e.name, _job(plan, e)) for e in plan.entries)]
        listen('starting')
        workers = [stack.enter_context(Worker(name, job)) for name, job in jobs]
        for worker in workers:
            worker.wait_until_ready()
        facts = [_prepare(worker, listen) for worker in workers]
        turns = _take_turns(workers, plan.repeats, listen)
        for worker, known in zip(workers[1:], facts[1:], strict=True):
            listen(f'{worker.name}: counting operations')
            known |= worker.ask('count_flops')
    products = [turn['flop_per_s'] for turn in turns[0]]
    times = [[turn['step_s'] for turn in own] for own in turns[1:]]
    yardstick = Spread.of(products)
    profiles = [
        _profile(plan, entry, own, times[0], yardstick, largest.get(entry.name), known)
        for entry, own, known in zip(plan.entries, times, facts[1:], strict=True)
    ]
    return Comparison(plan, yardstick, profiles)


def _job(plan: Plan, entry: Entry | None = None) -> dict[str, Any]:
    job = {'settings': asdict(plan.settings), 'threads': plan.threads}
    if entry is None:
        return job
    return job | {
        'config': entry.config,
        'options': repr(dict(entry.options)),
        'batch_size': plan.batch_size,
        'warmup': plan.warmup,
        'seed': plan.seed,
    }


def _find_batch(plan: Plan, entry: Entry) -> int:
    with Worker(entry.name, _job(plan, entry)) as worker:
        worker.wait_until_ready()
        return worker.ask('find_batch')['largest_batch']


def _prepare(worker: Worker, listen: Callable[[str], None]) -> dict[str, Any]:
    listen(f'{worker.name}: warming up')
    facts = {} if worker.name == REFERENCE else worker.ask('describe')
    return facts | worker.ask('warm_up')


def _take_turns(
    workers: Sequence[Worker], repeats: int, listen: Callable[[str], None]
) -> list[list[dict[str, Any]]]:
    """Run the turns; the results of each worker's repeats."""
    results: list[list[dict[str, Any]]] = [[] for _ in workers]
    for repeat in range(repeats):
        listen(f'repeat {repeat + 1} of {repeats}')
        order = list(range(len(workers)))
        for index in order if repeat % 2 == 0 else reversed(order):
            results[index].append(workers[index].ask('repeat'))
    return results


def _profile(
    plan: Plan,
    entry: Entry,
    times: list[float],
    first_times: list[float],
    yardstick: Spread,
    largest_batch: int | None,
    facts: Mapping[str, Any],
) -> Profile:
    img_per_s = Spread.of([plan.batch_size / seconds for seconds in times])
    flop_per_s = facts['flops_step'] * img_per_s.median
    return Profile(
        name=entry.name,
        config=entry.config,
        options=dict(entry.options),
        step_s=times,
        img_per_s=img_per_s,
        ratio=Spread.of([first / own for first, own in zip(first_times, times, strict=True)]),
        flop_per_s=flop_per_s,
        share_of_reference=flop_per_s / yardstick.median,
        largest_batch=largest_batch,
        **facts,
    )
