"""The pyramid of ViTDet: every level from the backbone's last map."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpretrain.models.utils import LayerNorm2d
from torch import nn
from torch.nn import functional as F

from mim_bench.models.necks.vit_pyramid import RESCALES, rescaling
from mim_bench.registry import MODELS

NORM_EPS = 1e-6


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Levels of one width from one map, with LayerNorm over the channels.

    A level rescales the map (its width halves with every doubling of the size), then projects
    it: a 1x1 and a 3x3 convolution without bias, each followed by a norm.

    Args:
        in_channels: Width of the backbone, a multiple of four.
        out_channels: Width of the levels.
        rescales: Factor of each level, from the finest.
        with_pooled_level: Add a level of every second entry of the last one.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: A factor is unknown.

    Source: ViTDet, arXiv:2203.16527, section 3.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        *,
        rescales: Sequence[float] = RESCALES,
        with_pooled_level: bool = True,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        half, quarter = in_channels // 2, in_channels // 4
        self.with_pooled_level = with_pooled_level
        self.levels = nn.ModuleList()
        for factor in rescales:
            width = {4: quarter, 2: half}.get(factor, in_channels)
            first = rescaling(
                in_channels, factor, widths=(half, quarter), make_norm=lambda: _norm(half)
            )
            self.levels.append(nn.Sequential(first, *_projection(width, out_channels)))

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Make the levels.

        Args:
            inputs: Maps of the backbone; the last one (B, C, h, w) counts.

        Returns:
            Maps (B, out_channels, h * factor, w * factor), and the pooled level.
        """
        outs = [level(inputs[-1]) for level in self.levels]
        if self.with_pooled_level:
            outs.append(F.max_pool2d(outs[-1], 1, stride=2))
        return tuple(outs)


def _projection(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        _norm(out_channels),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        _norm(out_channels),
    ]


def _norm(width: int) -> nn.Module:
    return LayerNorm2d(width, eps=NORM_EPS)
