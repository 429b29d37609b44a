"""Mixed precision on any device, for tests: mmengine's own wrapper refuses to work on a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import autocast
from torch import nn


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """``AmpOptimWrapper(dtype='bfloat16')`` without the loss scale, which bfloat16 does not need.

    The forward pass runs under autocast; weights and optimizer stay in float32.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, inside what the plain wrapper does."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
