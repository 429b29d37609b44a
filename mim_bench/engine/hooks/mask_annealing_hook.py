"""The hook that anneals the masked attention of EoMT."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mim_bench.recipe.tta import unwrap
from mim_bench.recipe.updates import share_of_updates
from mim_bench.registry import HOOKS


@HOOKS.register_module()
class MaskAnnealingHook(Hook):
    """Let the masks of a segmentor's attention fade, block after block, during its training.

    Of n blocks, block k (from 1) masks with probability 1 until k / (n + 2) of the training, with
    (1 - share of the phase) ** power until (k + 1) / (n + 2), and never after. The update alone
    decides, so a resumed run continues alike, and all passes that accumulate have one probability.

    Args:
        power: Exponent of the decay.

    Source: EoMT, arXiv:2503.19108; its config for ADE20K fades four blocks from iterations 6,520,
    13,040, 19,560 and 26,080 on, each for 6,520, of 31 epochs (39,153).
    """

    def __init__(self, power: float = 0.9) -> None:
        self.power = power

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the probabilities of this update."""
        model = unwrap(runner.model)
        num = len(model.mask_probabilities)
        phase = share_of_updates(runner) * (num + 2)
        model.mask_probabilities = [
            max(0.0, 1 - max(0.0, phase - block)) ** self.power for block in range(1, num + 1)
        ]
