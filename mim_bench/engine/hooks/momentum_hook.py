"""The hook that updates a momentum network after each optimiser step."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.models.layers.momentum import MomentumNetwork
from mim_bench.recipe.tta import unwrap
from mim_bench.recipe.updates import share_of_updates
from mim_bench.registry import HOOKS


@HOOKS.register_module()
class MomentumHook(Hook):
    """Average the model's ``momentum_network`` with the model once after an optimiser step.

    With gradient accumulation that is once every ``accumulative_counts`` iterations. The
    momentum follows from the iteration alone, so a resumed run continues as if it had not
    stopped. A step that mixed precision skips because a gradient overflowed counts as a step.

    If the run fills the backbone from a checkpoint, the momentum network starts from it too.

    Source: ConMIM, TencentARC/ConMIM@4263955: the average is taken after the step, also where
    the gradient scaler skipped it.
    """

    # After the hook that stops on a loss that is not finite, before checkpoints are saved.
    priority = 'NORMAL'

    def before_train(self, runner: Runner) -> None:
        """Start from the weights that the model starts from."""
        model = unwrap(runner.model)
        network = _momentum_network(model)
        was_filled = getattr(runner, 'load_report', None) is not None
        if was_filled and runner.iter == 0 and int(network.steps) == 0:
            network.synchronize(model)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Update, if the optimiser made a step in this iteration."""
        if not runner.optim_wrapper.should_update():
            return
        model = unwrap(runner.model)
        network = _momentum_network(model)
        progress = share_of_updates(runner)
        network.update_parameters(model, progress)
        runner.message_hub.update_scalar('train/momentum', network.momentum_at(progress))


def _momentum_network(model: nn.Module) -> MomentumNetwork:
    network = getattr(model, 'momentum_network', None)
    if not isinstance(network, MomentumNetwork):
        raise ConfigError(
            f'MomentumHook: {type(model).__name__} has no attribute `momentum_network`. Take '
            'the hook out of custom_hooks, or use a method with a momentum network.'
        )
    return network
