"""A decision that all processes of a run take in the same iteration, without waiting for it."""

from collections.abc import Sequence

import torch
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_distributed
from torch import distributed as torch_dist


class Agreement:
    """Exchanges small whole numbers between processes during a run.

    :meth:`exchange` starts a reduction and returns the result of the one before, so that a
    process waits only for one that is a whole call behind. All processes must make the same calls
    in the same order. A run of one process has each result at once.
    """

    def __init__(self) -> None:
        self._pending: tuple[torch.Tensor, torch_dist.Work] | None = None

    def exchange(self, values: Sequence[int]) -> list[int] | None:
        """Offer numbers; returns the largest of all processes.

        Returns:
            Those of the call before, of this one in a run of one process; None if there are none.
        """
        if not is_distributed() or get_world_size() == 1:
            return list(values)
        before = self.settle()
        on_gpu = torch_dist.get_backend() == 'nccl'
        offered = torch.tensor(values, dtype=torch.int32, device=get_device() if on_gpu else 'cpu')
        work = torch_dist.all_reduce(offered, torch_dist.ReduceOp.MAX, async_op=True)
        self._pending = (offered, work)
        return before

    def settle(self) -> list[int] | None:
        """Wait for the result of the last :meth:`exchange`; None if it has been returned."""
        if self._pending is None:
            return None
        offered, work = self._pending
        self._pending = None
        work.wait()
        return offered.tolist()
