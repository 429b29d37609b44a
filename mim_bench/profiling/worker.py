"""The worker process that profiles one config on command.

It reads a JSON object a line from standard input, first a job, then commands, and answers
each with one line: ``{"result": ...}`` or ``{"error": message}``. It ends when its input does.
"""

import ast
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import torch

from mim_bench.cost.memory import exact_allocation, memory_meter
from mim_bench.errors import MimBenchError
from mim_bench.profiling.matrix_product import MatrixProduct
from mim_bench.profiling.training_step import PRECISIONS, StepSettings, TrainingStep, count_flops

# Steps that are timed together last at least this long, so that the resolution of the clock
# and the start-up of the device are negligible.
MIN_REPEAT_S = 0.5
# An idle GPU lowers its clock.
WAKE_UP_S = 0.2
NUM_BATCHES = 4
# Batch normalisation over a whole image needs two.
FLOPS_BATCH_SIZE = 2
# Relative accuracy of the largest batch, and where its search ends.
TOLERANCE = 1 / 16
LARGEST = 2**16


class StepTask:
    """Profiles the training step of a config.

    Args:
        job: ``config`` (path), ``options`` (Python literal of a dictionary), ``batch_size``,
            ``seed``, ``warmup`` and the fields of :class:`StepSettings`.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        from mim_bench.profiling.synthetic import SyntheticData
        from mim_bench.recipe.config import load_config

        self.cfg = load_config(job['config'], ast.literal_eval(job['options']))
        self.settings = StepSettings(**job['settings'])
        self.device = torch.device(self.settings.device)
        self.batch_size, self.warmup = job['batch_size'], job['warmup']
        self.data = SyntheticData(self.cfg, job['seed'])
        self.step = TrainingStep(self.cfg, self.settings, job['seed'])
        self.batches: list[dict[str, Any]] = []
        self.position = 0
        self.num_steps = 1

    def describe(self) -> dict[str, Any]:
        """Number of parameters."""
        num_parameters, num_trainable = self.step.count_parameters()
        return {'num_parameters': num_parameters, 'num_trainable': num_trainable}

    def warm_up(self) -> dict[str, Any]:
        """Run the first steps: their peak memory, and the duration of the last one."""
        batch = self.data.batch(self.batch_size)
        meter = memory_meter(self.device)
        meter.start()
        batch = self._on_device(batch)
        if self.settings.is_compiled:
            self.step(batch)  # compiles; the compiler's memory does not count
            meter.start()
        with exact_allocation():
            for _ in range(2):  # only the second one has the optimiser's state
                self.step(batch)
                meter.sample()
        for _ in range(max(self.warmup - 2, 1)):
            start = time.perf_counter()
            self.step(batch)
            _synchronize(self.device)
            step_s = time.perf_counter() - start
        rest = (
            self.data.batch(self.batch_size, self.batch_size * i) for i in range(1, NUM_BATCHES)
        )
        self.batches = [batch, *map(self._on_device, rest)]
        self.num_steps = max(1, round(MIN_REPEAT_S / step_s))
        return {'peak_mem_bytes': meter.peak_bytes, 'num_steps': self.num_steps}

    def repeat(self) -> dict[str, Any]:
        """Seconds of a step, averaged over a repeat, after a warm-up step."""
        if self.device.type == 'cuda':
            self._run_for(WAKE_UP_S)
        else:
            self._next()  # the host may have reclaimed memory of the idle process
        start = time.perf_counter()
        for _ in range(self.num_steps):
            self._next()
        _synchronize(self.device)
        return {'step_s': (time.perf_counter() - start) / self.num_steps}

    def count_flops(self) -> dict[str, Any]:
        """Count the operations of an image."""
        forward, total = count_flops(self.step, self._on_device(self.data.batch(FLOPS_BATCH_SIZE)))
        return {
            'flops_forward': forward / FLOPS_BATCH_SIZE,
            'flops_step': total / FLOPS_BATCH_SIZE,
        }

    def find_batch(self) -> dict[str, Any]:
        """Search the largest batch that fits this GPU."""
        return {'largest_batch': largest_fitting(self._fits, self.batch_size)}

    def _fits(self, size: int) -> bool:
        self.step.model.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        try:
            batch = self._on_device(self.data.batch(size))
            for _ in range(2):
                self.step(batch)
            _synchronize(self.device)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            return False
        return True

    def _on_device(self, batch: dict[str, Any]) -> dict[str, Any]:
        return self.step.model.data_preprocessor.cast_data(batch)

    def _run_for(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self._next()
            _synchronize(self.device)

    def _next(self) -> None:
        self.step(self.batches[self.position % len(self.batches)])
        self.position += 1


def largest_fitting(fits: Callable[[int], bool], start: int = 1) -> int:
    """Search the largest size that fits, to a sixteenth, by doubling and halving.

    Args:
        fits: Whether a size fits; if it does, all smaller sizes do.
        start: First size to try; one that fits saves attempts.

    Returns:
        The largest tried size that fits; 0 if not even one image fits.
    """
    low, high = 0, max(start, 1)
    while high <= LARGEST and fits(high):
        low, high = high, 2 * high
    if high > LARGEST:
        return low
    while high - low > max(1, int(low * TOLERANCE)):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


class ProductTask:
    """Times a large matrix product beside the steps.

    Args:
        job: ``settings`` with ``device`` and ``precision``.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.device = torch.device(job['settings']['device'])
        self.product = MatrixProduct(self.device, PRECISIONS[job['settings']['precision']])
        self.num_products = 1

    def warm_up(self) -> dict[str, Any]:
        """Determine the number of products of a repeat."""
        self.product()
        _synchronize(self.device)
        start = time.perf_counter()
        self.product()
        _synchronize(self.device)
        self.num_products = max(1, round(MIN_REPEAT_S / (time.perf_counter() - start)))
        return {}

    def repeat(self) -> dict[str, Any]:
        """Operations a second, after a warm-up product."""
        self.product()
        _synchronize(self.device)
        start = time.perf_counter()
        for _ in range(self.num_products):
            self.product()
        _synchronize(self.device)
        seconds = time.perf_counter() - start
        return {'flop_per_s': self.product.flops * self.num_products / seconds}


def _synchronize(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def main() -> None:
    """Serve the commands of the parent process."""
    # Libraries must not print between the answers.
    answers = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)
    task = None
    for line in sys.stdin:
        message = json.loads(line)
        try:
            if 'job' in message:
                task = _start(message['job'])
                result: dict[str, Any] = {}
            else:
                result = getattr(task, message['command'])()
            answer = {'result': result}
        except MimBenchError as error:
            answer = {'error': str(error)}
        except Exception as error:
            traceback.print_exc()
            answer = {'error': _explain(error)}
        print(json.dumps(answer), file=answers)


def _is_out_of_memory(error: BaseException) -> bool:
    # cuBLAS and cuDNN may fail to allocate their workspace before torch runs out of memory.
    is_blas = isinstance(error, RuntimeError) and 'ALLOC_FAILED' in str(error)
    return is_blas or isinstance(error, torch.cuda.OutOfMemoryError)


def _explain(error: Exception) -> str:
    if _is_out_of_memory(error):
        return 'the batch does not fit the GPU. Use a smaller --batch-size.'
    return f'{type(error).__name__}: {error}'


def _start(job: dict[str, Any]) -> StepTask | ProductTask:
    if job['threads']:
        torch.set_num_threads(job['threads'])
    return StepTask(job) if 'config' in job else ProductTask(job)


if __name__ == '__main__':
    main()
