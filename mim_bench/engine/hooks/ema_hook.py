"""The libraries' averages of weights, taken of updates and whole in every checkpoint."""

from typing import Any

from mmengine.hooks import EMAHook
from mmengine.runner import Runner


class _OfUpdates:
    """Mixin before an EMAHook; see :func:`average_updates`."""

    _is_swapped = False

    def before_run(self, runner: Runner) -> None:
        """Count ``begin_iter`` as everything of the config."""
        self.begin_iter *= runner.iterations_per_update
        super().before_run(runner)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Average, if the weights were updated."""
        if runner.optim_wrapper.should_update():
            super().after_train_iter(runner, *args, **kwargs)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the averages as the model and the trained weights beside them."""
        if self._is_swapped:
            checkpoint['ema_state_dict'] = self.ema_model.state_dict()
        else:
            super().before_save_checkpoint(runner, checkpoint)

    def _swap_ema_parameters(self) -> None:
        super()._swap_ema_parameters()
        self._is_swapped = not self._is_swapped


def average_updates(hook: EMAHook) -> None:
    """Let a hook of mmengine or mmpretrain average the weights once an update.

    Theirs average after each forward pass, so that with accumulated gradients the average forgets
    as many times faster. Theirs also take for granted that no checkpoint is written during a
    validation, while the averages stand in the model: a run that is stopped there would resume
    with the averages as its weights.

    Args:
        hook: Changed in place.
    """
    kind = type(hook)
    hook.__class__ = type(kind.__name__, (_OfUpdates, kind), {})
