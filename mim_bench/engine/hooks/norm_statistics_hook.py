"""The hook by which all processes validate the network that is saved."""

from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _NormBase

from mim_bench.registry import HOOKS


@HOOKS.register_module()
class NormStatisticsHook(Hook):
    """Give every process the running statistics of the main one before a validation.

    Without SyncBN (gloo has none) each process averages over its own images. A checkpoint holds
    the statistics of the main process, so a metric over all processes would be of no saved network.
    """

    priority = 'VERY_HIGH'

    def before_val(self, runner: Runner) -> None:
        """Take them."""
        if not runner.distributed:
            return
        for module in runner.model.modules():
            if isinstance(module, _NormBase):
                for buffer in module.buffers(recurse=False):
                    broadcast(buffer)
