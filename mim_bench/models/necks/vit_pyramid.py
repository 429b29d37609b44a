"""Pyramids from the maps of a plain vision transformer, which all have one stride."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmpretrain.models.utils import LayerNorm2d
from torch import nn
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.models.layers.stages import STRIDES
from mim_bench.registry import MODELS

RESCALES = (4, 2, 1, 0.5)  # from patches of 16 px
NORM_EPS = 1e-6  # of ViTDet's norms
POOLINGS = {'max': nn.MaxPool2d, 'avg': nn.AvgPool2d}


@MODELS.register_module()
class ViTPyramid(BaseModule):
    """Brings each map of a plain backbone to its own stride; the width stays.

    A map twice as fine is made by a transposed convolution; four times as fine by transposed
    convolution, norm, GELU and transposed convolution; eight times by one more of each. A coarser
    map is pooled, one of the same stride is unchanged.

    Args:
        embed_dims: Width of the backbone.
        in_stride: Stride of the backbone's maps in pixels.
        strides: Stride of each map that is returned, from the finest.
        norm_cfg: Config of the norm between transposed convolutions: SyncBN for UPerNet (BEiT,
            MAE, LocalMIM), ``dict(type='GN', num_groups=32)`` for Benchmarking-ViT's FPN.
        pooling: 'max' (BEiT, Benchmarking-ViT) or 'avg' (LocalMIM).
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: A stride is no power of two of ``in_stride``, ``pooling`` is unknown, or the
            width is no multiple of the norm's groups.

    Source: BEiT, arXiv:2106.08254, its backbone for segmentation; Benchmarking-ViT,
    arXiv:2111.11429; LocalMIM, arXiv:2303.05251.
    """

    def __init__(
        self,
        embed_dims: int,
        *,
        in_stride: int = 16,
        strides: Sequence[int] = STRIDES,
        norm_cfg: dict | None = None,
        pooling: str = 'max',
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        norm_cfg = norm_cfg or dict(type='SyncBN', requires_grad=True)
        groups = norm_cfg.get('num_groups', 1)
        if embed_dims % groups:
            raise ConfigError(
                f'ViTPyramid: norms of {groups} groups do not divide a backbone of {embed_dims} '
                f'channels. Use a backbone whose width is a multiple of {groups}, or another task.'
            )
        self.levels = nn.ModuleList(
            rescaling(
                embed_dims,
                in_stride / stride,
                widths=(embed_dims, embed_dims),
                make_norm=lambda: build_norm_layer(norm_cfg, embed_dims)[1],
                pooling=pooling,
            )
            for stride in strides
        )

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Rescale the maps.

        Args:
            inputs: Maps (B, C, h, w) of ``in_stride``, one for each stride.

        Returns:
            As many maps (B, C, h * in_stride / stride, w * in_stride / stride); pooling drops
            incomplete squares at the border.

        Raises:
            ConfigError: The backbone has another number of taps.
        """
        if len(inputs) != len(self.levels):
            raise ConfigError(
                f'ViTPyramid: {len(inputs)} maps for {len(self.levels)} strides. Give the '
                'backbone as many out_indices.'
            )
        return tuple(level(x) for level, x in zip(self.levels, inputs, strict=True))


def check_pyramids(model: Mapping[str, Any]) -> None:
    """Refuse the necks of a model's config that :class:`ViTPyramid` refuses.

    Raises:
        ConfigError: See :class:`ViTPyramid`.
    """
    necks = model.get('neck') or []
    for neck in [necks] if isinstance(necks, Mapping) else necks:
        if str(neck.get('type')).rpartition('.')[2] == ViTPyramid.__name__:
            with torch.device('meta'):
                MODELS.build(dict(neck))


def rescaling(
    embed_dims: int,
    factor: float,
    *,
    widths: tuple[int, int],
    make_norm: Callable[[], nn.Module],
    pooling: str = 'max',
) -> nn.Module:
    """Build the layers that change the size of a map.

    Args:
        embed_dims: Width of the map.
        factor: A power of two.
        widths: Channels after the first transposed convolution, and after each further one.
        make_norm: Builds the norm between two of them.
        pooling: 'max' or 'avg'.

    Raises:
        ConfigError: ``factor`` is no power of two, or ``pooling`` is unknown.
    """
    if pooling not in POOLINGS:
        raise ConfigError(f'Unknown pooling {pooling!r}. Known: {", ".join(POOLINGS)}.')
    doublings = math.log2(factor)
    if not doublings.is_integer():
        raise ConfigError(f'A map cannot be rescaled by {factor}. Known: powers of two.')
    if factor < 1:
        return POOLINGS[pooling](round(1 / factor))
    if factor == 1:
        return nn.Identity()
    layers = [nn.ConvTranspose2d(embed_dims, widths[0], 2, stride=2)]
    for i in range(int(doublings) - 1):
        widening = nn.ConvTranspose2d(widths[min(i, 1)], widths[1], 2, stride=2)
        layers += [make_norm(), nn.GELU(), widening]
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


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
