"""Global average pooling followed by LayerNorm."""

import torch
from mmengine.model import BaseModule
from torch import nn

from mim_bench.registry import MODELS


@MODELS.register_module()
class PooledNorm(BaseModule):
    """Average the last map, then normalise (the ``fc_norm`` of MAE-type fine-tuning).

    Args:
        in_dims: Channels of the last map.
        init_cfg: Initialisation of mmengine.
    """

    def __init__(self, in_dims: int, init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.norm = nn.LayerNorm(in_dims, eps=1e-6)

    def forward(self, feats: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Maps of a backbone, the last (B, C, H, W) -> ((B, C),)."""
        return (self.norm(feats[-1].mean(dim=(2, 3))),)
