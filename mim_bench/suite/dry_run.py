"""The dry run of a plan: checks data and configs, and reports memory and estimated hours."""

import contextlib
import io
import json
import os
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from mim_bench.data.checks.options import REAL_COUNTS
from mim_bench.engine.preemption import RESERVE_S
from mim_bench.errors import TrainingError
from mim_bench.profiling.fake_step import OwnProcess
from mim_bench.profiling.trial import Trial
from mim_bench.suite.locations import CHECK_NAMES
from mim_bench.suite.steps import Step

# Rough time to import the libraries and to build a model and its data sets.
_START_S = 60
_LOG_LINES = 6


@dataclass(frozen=True)
class DataCheck:
    """Result of the quick check of a data set.

    Attributes:
        dataset: Name of the data set.
        root: Folder of the data set.
        counts: Counts by name, for example ``train images``.
        problems: The first ones, as text.
    """

    dataset: str
    root: str
    counts: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """Estimate of a run.

    Attributes:
        step: The run.
        data: Check of its data set.
        trial: Cost of two steps, measured or estimated; None if the run cannot start.
        error: The reason why it cannot start.
        limit_s: Seconds that an attempt may take; None: no limit.
    """

    step: Step
    data: DataCheck
    trial: Trial | None = None
    error: str | None = None
    limit_s: float | None = None

    @property
    def reasons(self) -> list[str]:
        """Reasons why the run cannot start."""
        reasons, trial = [*self.data.problems, *([self.error] if self.error else [])], self.trial
        if trial is None:
            return reasons
        if not reasons and trial.missing:
            reasons.append(trial.missing)
        images = self._images('train', self.data.counts)
        if trial.epochs and images is not None:
            images = int(images * trial.image_share)
            if images < trial.fewest_images:
                reasons.append(
                    f'An epoch has {images} images, but an update needs {trial.fewest_images}, and '
                    'incomplete ones are dropped.'
                )
        if self.limit_s is not None:
            needed = RESERVE_S + _START_S + 2 * trial.step_s
            if self.limit_s < needed:
                reasons.append(
                    f'An attempt may take {self.limit_s:.0f} s (--timeout-hours), but to start, '
                    f'to make an update and to save it takes about {needed:.0f} s, so no attempt '
                    'would get anywhere.'
                )
        return reasons

    def _images(self, split: str, counts: Mapping[str, int]) -> int | None:
        """Images of a split that the run may use; None where they were not counted."""
        found = counts.get(f'{split} images')
        most = self.trial.most_images
        return found if None in (found, most) else min(found, most)

    @property
    def can_start(self) -> bool:
        """Whether the run can start."""
        return not self.reasons

    @property
    def hours(self) -> float | None:
        """Hours: seconds of a step times number of steps; None where the number is unknown.

        Without the data, the image counts of the published data set are used.
        """
        if self.trial is None:
            return None
        counts = self.data.counts
        if not {'train images', 'val images'} <= set(counts):
            whole = REAL_COUNTS.get(CHECK_NAMES.get(self.data.dataset, ''), {})
            counts = {f'{split} images': number for split, number in whole.items()}
        trial, num_steps = self.trial, self.trial.num_steps
        if num_steps is None:
            images = [self._images(split, counts) for split in ('train', 'val')]
            if None in images:
                return None
            seen = sum(images)
            if trial.epochs is not None:
                seen = images[0] * trial.image_share * trial.epochs
            num_steps = seen / trial.images_per_step
        return num_steps * trial.step_s / 3600

    @property
    def gpu_hours(self) -> float | None:
        """Hours times the GPUs of the run; None where the hours are unknown."""
        return None if self.hours is None else self.hours * max(self.step.processes, 1)


def try_plan(
    plan: Sequence[Step],
    main: Callable[[list[str]], int],
    environment: Mapping[str, str],
    on_start: Callable[[str], None] = lambda name: None,
    *,
    assumed_tflops: float | None = None,
    limit_s: float | None = None,
    workers: int = 1,
) -> list[Estimate]:
    """Try every run of a plan in other processes; seeds share a trial.

    On a GPU each trial has a process of its own, since it measures memory. Without one, processes
    are kept: importing the libraries takes longer than most trials.

    Args:
        plan: Steps with ``trial_words`` are tried.
        main: The function of ``mim-bench``: takes the words, returns the exit status.
        environment: Added to that of the processes. Without ``CUDA_VISIBLE_DEVICES``, they see no
            GPU.
        on_start: Called with the name of each step before it is tried.
        assumed_tflops: Estimate every run for GPUs of this throughput in TFLOP/s.
        limit_s: Seconds that an attempt of a run may take; None: no limit.
        workers: Processes at a time.
    """
    runs = [step for step in plan if step.trial_words and step.dataset is not None]
    checks = {(*step.dataset, step.need_stuff): None for step in runs}
    trials = {}
    more = [] if assumed_tflops is None else ['--assume-tflops', str(assumed_tflops)]
    is_measured = 'CUDA_VISIBLE_DEVICES' in environment
    idle: SimpleQueue[OwnProcess] = SimpleQueue()
    with (
        tempfile.TemporaryDirectory() as folder,
        ExitStack() as stack,
        ThreadPoolExecutor(workers) as pool,
    ):
        for _ in range(workers):
            process = OwnProcess({'CUDA_VISIBLE_DEVICES': '', **environment})
            idle.put(stack.enter_context(process))

        def call(name: str, function: Callable[..., Any], *args: Any) -> Any:
            process = idle.get()
            try:
                on_start(name)
                return function(partial(process.call, _mim_bench, main), *args)
            finally:
                if is_measured:
                    process.close()
                idle.put(process)

        for number, key in enumerate(checks):
            report = Path(folder) / f'data-{number}.json'
            checks[key] = pool.submit(call, f'data of {key[0]}', check_data, *key, report)
        for number, step in enumerate(runs):
            if _alike(step) not in trials:
                result = Path(folder) / f'trial-{number}.json'
                trials[_alike(step)] = pool.submit(call, step.name, _try, step, result, more)
        return [
            Estimate(
                step,
                checks[(*step.dataset, step.need_stuff)].result(),
                *trials[_alike(step)].result(),
                limit_s,
            )
            for step in runs
        ]


def _alike(step: Step) -> tuple:
    """Key of runs that share a trial: all words but the seed and the output folders."""
    words, found = iter(step.trial_words), [step.processes]
    for word in words:
        if word in ('--seed', '--run-id', '--work-dir'):
            next(words)
        else:
            found.append(word)
    return tuple(found)


def check_data(
    mim_bench: Callable[..., tuple[int, str]],
    dataset: str,
    root: str,
    need_stuff: bool,
    report: Path,
) -> DataCheck:
    """Check file names, counts and lists of a data set without opening images."""
    words = ['data', 'check', CHECK_NAMES[dataset], root, '--quick', '--json', str(report)]
    words += ['--need-stuff'] if need_stuff else []
    status, errors = mim_bench(words)
    if not report.exists():
        return DataCheck(dataset, root, problems=(_message(status, errors),))
    data = json.loads(report.read_text('utf-8'))
    problems = [f'{p["kind"]}: {p["path"]} {p["message"]}' for p in data['problems']]
    return DataCheck(dataset, root, data['counts'], tuple(problems))


def _try(
    mim_bench: Callable[..., tuple[int, str]], step: Step, result: Path, more: Sequence[str]
) -> tuple[Trial | None, str | None]:
    words = [*step.trial_words, '--dry-run', str(result), *more]
    world_size = None
    if step.processes > 1:
        # One process that plans its batch as one process of several.
        words += ['--launcher', 'pytorch']
        world_size = str(step.processes)
    try:
        status, errors = mim_bench(words, world_size)
    except TrainingError as error:
        return None, str(error)
    if status or not result.exists():
        return None, _message(status, errors)
    return Trial.from_dict(json.loads(result.read_text('utf-8'))), None


def _mim_bench(
    main: Callable[[list[str]], int], words: Sequence[str], world_size: str | None = None
) -> tuple[int, str]:
    """Exit status and standard error of a command in this process."""
    os.environ.pop('WORLD_SIZE', None)
    if world_size is not None:
        os.environ['WORLD_SIZE'] = world_size
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            status = main(list(words))
        except SystemExit as error:
            status = error.code
        except Exception:
            traceback.print_exc()
            status = 1
    return status, errors.getvalue()


def _message(status: int, errors: str) -> str:
    """The error message of a command."""
    lines = errors.strip().splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith('error: ')), None)
    if first is not None:
        return '\n'.join(lines[first:]).removeprefix('error: ')
    return '\n'.join([*lines[-_LOG_LINES:], f'exit status {status}'])
