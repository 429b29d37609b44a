"""The hook that writes the heartbeat of a run."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mim_bench.engine.batch import num_samples
from mim_bench.engine.heartbeat import Heartbeat
from mim_bench.registry import HOOKS
from mim_bench.results.record import utc_now


@HOOKS.register_module()
class HeartbeatHook(Hook):
    """Write ``heartbeat.json`` every few seconds, on the main process.

    It runs after the hooks that read the loss and the times of an iteration, and waits for no
    device. Every run has it (:class:`mim_bench.engine.runner.BenchRunner`).

    Args:
        every_s: Shortest time between two beats.
        clock: Seconds that only move forward.
    """

    priority = 'LOWEST'

    def __init__(self, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._clock = every_s, clock
        self._beaten_at = -math.inf
        self._since = 0.0
        self._images = 0

    def before_run(self, runner: Runner) -> None:
        """Replace the last beat of an earlier start."""
        self.beat(runner, 'start', 0, 0)

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        """Time between epochs and validations makes no rate."""
        self._images, self._since = 0, self._clock()

    def _after_epoch(self, runner: Runner, mode: str = 'train') -> None:
        """See :meth:`_before_epoch`."""
        self._before_epoch(runner, mode)

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
        mode: str = 'train',
    ) -> None:
        self._images += num_samples(data_batch)
        if self._clock() - self._beaten_at < self._every_s:
            return
        if mode == 'train':
            self.beat(runner, mode, runner.iter + 1, runner.max_iters)
        else:
            loader = runner.val_dataloader if mode == 'val' else runner.test_dataloader
            self.beat(runner, mode, batch_idx + 1, len(loader))

    def beat(self, runner: Runner, phase: str, done: int, total: int) -> None:
        """Write how far a run is, unless it did so just now.

        Args:
            runner: The runner.
            phase: What it does.
            done: Iterations, as :class:`Heartbeat` counts them.
            total: All of them.
        """
        now = self._clock()
        if now - self._beaten_at < self._every_s or not is_main_process():
            return
        hub = runner.message_hub
        rate = loss = left = None
        if self._images:
            rate = self._images * get_world_size() / max(now - self._since, 1e-9)
            left = hub.get_info('eta')
        if phase == 'train' and 'train/loss' in hub.log_scalars:
            loss = float(hub.get_scalar('train/loss').current())
            loss = loss if math.isfinite(loss) else None
        Heartbeat(phase, done, total, utc_now(), loss, rate, left).write(Path(runner.work_dir))
        self._beaten_at = self._since = now
        self._images = 0
