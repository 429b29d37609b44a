"""Hooks for tests that train for real: they end a run, or write down what it did."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

UPDATES_FILE = 'updates.txt'


@HOOKS.register_module()
class KillHook(Hook):
    """Send this process a signal at a place in the run.

    Args:
        iteration: Before the training iteration of this number, counted from 0.
        validation: In the middle of the validation of this number, counted from 0.
        name: Name of the signal; SIGKILL is as if the machine had lost its power.
        rank: Rank of the process that gets it; None: all.
    """

    is_observer = True

    def __init__(
        self,
        iteration: int | None = None,
        validation: int | None = None,
        name: str = 'SIGKILL',
        rank: int | None = None,
    ) -> None:
        self.iteration = iteration
        self.validation = validation
        self.name, self.rank = name, rank

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Send it before the iteration."""
        if runner.iter == self.iteration and self.rank in (None, get_rank()):
            os.kill(os.getpid(), signal.Signals[self.name])

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Send it after the first batch of the validation."""
        if self.validation == 0 and batch_idx == 1:
            os.kill(os.getpid(), signal.Signals[self.name])
        if self.validation and batch_idx == 0:
            self.validation -= 1


@HOOKS.register_module()
class SpoilHook(Hook):
    """Spoil the folder of a run, on a disk of its own, before an iteration.

    Args:
        iteration: Counted from 0.
        how: ``full``, ``read-only`` or ``gone``.
    """

    is_observer = True

    def __init__(self, iteration: int, how: str) -> None:
        self.iteration, self.how = iteration, how

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Spoil the folder before the iteration."""
        folder = Path(runner.work_dir)
        if runner.iter != self.iteration:
            return
        if self.how == 'full':
            with contextlib.suppress(OSError), (folder / 'filler').open('wb', 0) as file:
                while True:
                    file.write(bytes(4096))
        elif self.how == 'read-only':
            # Over the disk itself, where open log files would forbid it.
            subprocess.run(['mount', '--bind', folder, folder], check=True)
            subprocess.run(['mount', '-o', 'remount,bind,ro', folder], check=True)
        else:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            subprocess.run(['umount', '--lazy', folder], check=True)
            folder.rmdir()


@HOOKS.register_module()
class UpdateHook(Hook):
    """Append a line to :data:`UPDATES_FILE` after each iteration: how many there were."""

    is_observer = True

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Write it on the main process."""
        if get_rank() == 0:
            with (Path(runner.work_dir) / UPDATES_FILE).open('a') as file:
                file.write(f'{runner.iter + 1}\n')


@HOOKS.register_module()
class LossHook(Hook):
    """Write ``losses-<rank>.json`` at the end: the loss of each iteration, in full precision."""

    is_observer = True

    def __init__(self) -> None:
        self.losses: list[float] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Keep this process's own loss."""
        self.losses.append(outputs['loss'].item())

    def after_train(self, runner: Runner) -> None:
        """Write them down."""
        path = Path(runner.work_dir) / f'losses-{get_rank()}.json'
        path.write_text(json.dumps(self.losses))
