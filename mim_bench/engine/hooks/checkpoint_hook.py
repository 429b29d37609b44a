"""The hook that saves checkpoints: by interval, by time, and when the run is asked to stop."""

import time
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook as EveryInterval
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from mim_bench.conversion.weight_files import INTERIM_FILE
from mim_bench.engine.agreement import Agreement
from mim_bench.engine.batch_stream import draws_of
from mim_bench.engine.fsdp import is_sharded
from mim_bench.engine.preemption import StopRequest
from mim_bench.engine.saving import remove_leftovers
from mim_bench.errors import ConfigError, RunInterrupted
from mim_bench.files.atomic import discard
from mim_bench.registry import HOOKS

_SAVE, _STOP = 1, 2
SAVE_MINUTES = 30.0


@HOOKS.register_module()
class CheckpointHook(EveryInterval):
    """mmengine's hook, which also saves between its intervals.

    After an update of the weights it writes ``interim.pth``, from which a run resumes exactly, in
    the middle of an epoch too:

    - ``save_minutes`` after the last checkpoint;
    - when ``runner.stop_request`` says so: then the run ends with :class:`RunInterrupted`.

    The next checkpoint of an interval removes it. All processes save and stop in the same
    iteration: what the main one wants, or any of them that got a signal, is exchanged in the
    background (:class:`mim_bench.engine.agreement.Agreement`), so processes stop one update after
    they were asked. In a validation the main process saves and stops at the next batch; a run with
    sharded weights stops after it.

    Args:
        save_minutes: Longest time between two checkpoints; 0: only those of the intervals.
        **settings: mmengine's.
    """

    def __init__(self, *args: Any, save_minutes: float = SAVE_MINUTES, **settings: Any) -> None:
        super().__init__(*args, **settings)
        if not save_minutes >= 0:
            raise ConfigError(f'CheckpointHook: save_minutes = {save_minutes}. It is 0 or more.')
        self.save_minutes = save_minutes
        self._agreement = Agreement()
        self._stop = StopRequest()
        self._saved_at = time.monotonic()
        self._saved_iter: int | None = None
        self._save_s = 0.0

    def before_train(self, runner: Runner) -> None:
        """Remove what a killed run left half written; signals wait for an update from now on."""
        super().before_train(runner)
        if is_main_process():
            remove_leftovers(Path(self.out_dir))
        self._stop = getattr(runner, 'stop_request', self._stop)
        self._stop.defer()
        self._saved_at = time.monotonic()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save if it is time.

        Raises:
            RunInterrupted: The run was asked to stop, and has saved.
        """
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if not runner.optim_wrapper.should_update():
            return
        wanted = (self._agreement.exchange([self._wish()]) or [0])[0]
        if not wanted or self.is_last_train_iter(runner):  # the last checkpoint comes anyway
            return
        meta = dict(epoch=runner.epoch, iter=runner.iter + 1)
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            meta['epoch_draws'] = draws_of(runner.train_dataloader, batch_idx + 1)
        self._save_interim(runner, meta)
        if wanted == _STOP:
            self._end(meta['iter'])

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Stop in the middle of a validation, which is repeated or left out by who resumes.

        Raises:
            RunInterrupted: The run was asked to stop, and has saved.
        """
        is_training = isinstance(runner._train_loop, EpochBasedTrainLoop | IterBasedTrainLoop)
        if not is_training or is_sharded(runner.model) or not is_main_process():
            return
        if self._stop.reason(self._save_s):
            self._save_interim(runner, dict(epoch=runner.epoch, iter=runner.iter))
            raise RunInterrupted(self._message(runner.iter))

    def after_train(self, runner: Runner) -> None:
        """Leave no exchange open."""
        self._agreement.settle()
        super().after_train(runner)

    def _wish(self) -> int:
        if self._stop.reason(self._save_s):
            return _STOP
        is_due = self.save_minutes and time.monotonic() - self._saved_at >= 60 * self.save_minutes
        return _SAVE if is_due and is_main_process() else 0

    def _end(self, iteration: int) -> None:
        barrier()  # who ends first must not take the one that writes along
        raise RunInterrupted(self._message(iteration))

    def _message(self, iteration: int) -> str:
        reason = self._stop.reason(self._save_s) or 'a signal to another process'
        return (
            f'stopped by {reason} after {iteration} iterations and saved to '
            f'{Path(self.out_dir) / INTERIM_FILE}. Start again with --auto-resume to go on.'
        )

    def _save_interim(self, runner: Runner, meta: dict[str, Any]) -> None:
        if self._saved_iter == meta['iter']:
            return
        runner.logger.info(f'Saving {INTERIM_FILE} at {meta["iter"]} iterations')
        began = time.monotonic()
        runner.save_checkpoint(
            self.out_dir,
            INTERIM_FILE,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            **self.args,
        )
        self._note(meta['iter'], began)

    def _save_checkpoint(self, runner: Runner) -> None:
        began = time.monotonic()
        super()._save_checkpoint(runner)
        self._note(runner.iter if self.by_epoch else runner.iter + 1, began)
        if is_main_process():
            discard(Path(self.out_dir) / INTERIM_FILE)

    def _note(self, iteration: int, began: float) -> None:
        self._saved_iter, self._saved_at = iteration, time.monotonic()
        self._save_s = self._saved_at - began
