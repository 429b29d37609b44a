"""Brings the stages of a backbone to one width before a dense head."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

from mim_bench.registry import MODELS


@MODELS.register_module()
class StageProjection(BaseModule):
    """A linear layer for each stage, with LayerNorm before it where asked.

    Args:
        in_channels: Widths of the stages.
        out_channels: Width of every output.
        norm: LayerNorm before the projection (the detection recipe has it, the
            segmentation recipe has not).
        init_cfg: Initialisation of mmengine.

    Source: UM-MAE's official detection (``up1`` to ``up4``) and segmentation (``fpn1`` to
    ``fpn4``) backbones.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 768,
        *,
        norm: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.norms = nn.ModuleList(nn.LayerNorm(c) if norm else nn.Identity() for c in in_channels)
        self.projections = nn.ModuleList(nn.Linear(c, out_channels) for c in in_channels)

    def forward(self, feats: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """(B, C_i, H_i, W_i) of every stage -> (B, out_channels, H_i, W_i)."""
        outs = []
        for x, norm, projection in zip(feats, self.norms, self.projections, strict=True):
            outs.append(projection(norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2).contiguous())
        return tuple(outs)
