"""BatchNorm over the batch of one process, also where a config asks for SyncBN."""

import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.registry import MODELS


@MODELS.register_module()
class LocalBatchNorm(nn.Module):
    """``nn.BatchNorm1d`` of (N, C), which no ``sync_bn`` setting turns into SyncBN.

    For methods whose recipe normalises by the batch of a GPU. State-dict keys are those of
    ``nn.BatchNorm1d``. As a layer of mmpretrain's necks:
    ``norm_cfg=dict(type='mim_bench.LocalBatchNorm')``.

    Args:
        num_features: C.
        eps: Added to the variance.
        momentum: Share of a batch in the running statistics.
        affine: Scale and shift.
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
    ) -> None:
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.register_buffer('running_mean', torch.zeros(num_features))
        self.register_buffer('running_var', torch.ones(num_features))
        self.register_buffer('num_batches_tracked', torch.tensor(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise (N, C); by the batch in train mode, else by the running statistics."""
        if self.training:
            self.num_batches_tracked += 1
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )
