"""A norm on each map of a backbone that returns its stages without one."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

from mim_bench.registry import MODELS


@MODELS.register_module()
class StageNorm(BaseModule):
    """LayerNorm over the channels of each stage, as the standard Swin has it for dense tasks.

    Its protocol is that of a model without it: there the norms stand in the backbone.

    Args:
        in_channels: Widths of the stages.
        init_cfg: Initialisation of mmengine.

    Source: Swin's detection code, where each returned stage has a fresh norm.
    """

    def __init__(self, in_channels: Sequence[int], *, init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.norms = nn.ModuleList(nn.LayerNorm(c) for c in in_channels)

    def forward(self, feats: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Normalise (B, C_i, H_i, W_i) of every stage."""
        return tuple(
            norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()
            for x, norm in zip(feats, self.norms, strict=True)
        )
