"""Pyramids from the maps of a plain vision transformer, which all have one stride."""

from collections.abc import Callable, Sequence

import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmpretrain.models.utils import LayerNorm2d
from torch import nn
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.registry import MODELS

RESCALES = (4, 2, 1, 0.5)
NORM_EPS = 1e-6  # of ViTDet's norms
POOLINGS = {'max': nn.MaxPool2d, 'avg': nn.AvgPool2d}


@MODELS.register_module()
class ViTPyramid(BaseModule):
    """Rescales each map of a plain backbone by its own factor; the width stays.

    4: transposed convolution, norm, GELU, transposed convolution. 2: a transposed convolution.
    1: the map itself. 0.5 and 0.25: pooling.

    Args:
        embed_dims: Width of the backbone.
        rescales: Factor for each map, from the finest.
        norm_cfg: Config of the norm at factor 4: SyncBN for UPerNet (BEiT, MAE, LocalMIM),
            ``dict(type='GN', num_groups=32)`` for Benchmarking-ViT's FPN.
        pooling: 'max' (BEiT, Benchmarking-ViT) or 'avg' (LocalMIM).
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: A factor or ``pooling`` is unknown.

    Source: BEiT, arXiv:2106.08254, its backbone for segmentation; Benchmarking-ViT,
    arXiv:2111.11429; LocalMIM, arXiv:2303.05251.
    """

    def __init__(
        self,
        embed_dims: int,
        *,
        rescales: Sequence[float] = RESCALES,
        norm_cfg: dict | None = None,
        pooling: str = 'max',
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        norm_cfg = norm_cfg or dict(type='SyncBN', requires_grad=True)
        self.levels = nn.ModuleList(
            rescaling(
                embed_dims,
                rescale,
                widths=(embed_dims, embed_dims),
                make_norm=lambda: build_norm_layer(norm_cfg, embed_dims)[1],
                pooling=pooling,
            )
            for rescale in rescales
        )

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Rescale the maps.

        Args:
            inputs: Maps (B, C, h, w), one for each factor.

        Returns:
            As many maps (B, C, h * factor, w * factor); pooling drops an odd row or column.

        Raises:
            ConfigError: The backbone has another number of taps.
        """
        if len(inputs) != len(self.levels):
            raise ConfigError(
                f'ViTPyramid: {len(inputs)} maps for {len(self.levels)} rescales. Give the '
                'backbone as many out_indices.'
            )
        return tuple(level(x) for level, x in zip(self.levels, inputs, strict=True))


def rescaling(
    embed_dims: int,
    factor: float,
    *,
    widths: tuple[int, int],
    make_norm: Callable[[], nn.Module],
    pooling: str = 'max',
) -> nn.Module:
    """The layers that change the size of a map.

    Args:
        embed_dims: Width of the map.
        factor: 4, 2, 1, 0.5 or 0.25.
        widths: Channels after the first and the second transposed convolution.
        make_norm: Builds the norm between them.
        pooling: 'max' or 'avg'.

    Raises:
        ConfigError: ``factor`` or ``pooling`` is unknown.
    """
    if pooling not in POOLINGS:
        raise ConfigError(f'Unknown pooling {pooling!r}. Known: {", ".join(POOLINGS)}.')
    if factor == 4:
        return nn.Sequential(
            nn.ConvTranspose2d(embed_dims, widths[0], 2, stride=2),
            make_norm(),
            nn.GELU(),
            nn.ConvTranspose2d(widths[0], widths[1], 2, stride=2),
        )
    if factor == 2:
        return nn.ConvTranspose2d(embed_dims, widths[0], 2, stride=2)
    if factor == 1:
        return nn.Identity()
    if factor in (0.5, 0.25):
        return POOLINGS[pooling](round(1 / factor))
    raise ConfigError(f'A map cannot be rescaled by {factor}. Known: 4, 2, 1, 0.5, 0.25.')


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """ViTDet's pyramid: levels of one width from one map, with LayerNorm over the channels.

    A level rescales the map (its width halves with every doubling of the size), then projects
    it: a 1x1 and a 3x3 convolution without bias, each followed by a norm.

    Args:
        in_channels: Width of the backbone, a multiple of four.
        out_channels: Width of the levels.
        rescales: Factor of each level, from the finest.
        with_pooled_level: Add a level that takes every second position of the last one.
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
        """Compute the levels.

        Args:
            inputs: Maps of the backbone, of which the last one (B, C, h, w) is used.

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
