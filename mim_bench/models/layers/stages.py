"""Maps of a foreign network at the strides that necks and heads count in."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from mim_bench.models.layers.base import Backbone, resolved_indices

# Strides of the maps that a pyramid returns; its own may differ.
STRIDES = (4, 8, 16, 32)


@dataclass
class Stage:
    """A map that a network can return.

    Attributes:
        tap: Index among the maps of the network.
        width: Channels.
        own: Stride of the network's map in pixels.
        stride: Stride of the returned map, which is resized bilinearly if ``own`` differs.
    """

    tap: int
    width: int
    own: int
    stride: int

    def fitted(self, x: torch.Tensor, size: Sequence[int], is_filled: bool = False) -> torch.Tensor:
        """Resize the map to ``stride`` and cut off the padding of the image.

        Args:
            x: (B, C, rows, cols) of the padded image.
            size: (height, width) of the image without padding.
            is_filled: Whether the image was padded.
        """
        if is_filled:
            rows, cols = (-(-side // self.own) for side in size)
            x = x[:, :, :rows, :cols]
        if self.own == self.stride:
            return x
        shape = [max(-(-side // self.stride), 1) for side in size]
        return F.interpolate(x, shape, mode='bilinear', align_corners=False)


def stages_of(widths: Sequence[int], strides: Sequence[int]) -> list[Stage]:
    """The outputs of a network: every map of a plain network, four maps of a pyramid.

    A network is plain if all its maps have one stride. The outputs of a pyramid have the strides 4,
    8, 16 and 32: each is the last map of that stride, or else the nearest one (of two, the finer).

    Args:
        widths: Channels of the network's maps.
        strides: Strides in pixels.
    """
    if len(set(strides)) == 1:
        fitting = min(STRIDES, key=lambda stride: abs(strides[0] / stride - 1))
        taps, wanted = range(len(strides)), [fitting] * len(strides)
    else:
        taps = [_nearest(strides, stride) for stride in STRIDES]
        wanted = STRIDES
    return [
        Stage(tap=tap, width=widths[tap], own=int(strides[tap]), stride=stride)
        for tap, stride in zip(taps, wanted, strict=True)
    ]


def plain_stage(width: int, patch_size: int, *, alone: bool) -> Stage:
    """The stage of a plain network; patches of 14 pixels, for example, get stride 16.

    Powers of two stay. Other strides become the nearest of 4, 8, 16 and 32, except where one map
    is returned ``alone``, since then no head depends on its stride.
    """
    (stage,) = stages_of([width], [patch_size])
    if alone or patch_size.bit_count() == 1:
        stage.stride = stage.own
    return stage


def _nearest(strides: Sequence[int], wanted: int) -> int:
    return min(range(len(strides)), key=lambda i: (abs(strides[i] / wanted - 1), -i))


def is_plain(stages: Sequence[Stage]) -> bool:
    """Whether all maps have one stride."""
    return len({stage.stride for stage in stages}) == 1


class ForeignBackbone(Backbone):
    """Base class of networks that are given with their weights, and whose maps are fitted.

    Attributes:
        stages: The maps that the network can return.
        chosen: Those of ``out_indices``.
    """

    stages: list[Stage]
    chosen: list[Stage]

    def choose(
        self, stages: list[Stage], indices: int | Sequence[int], owner: str, *, align: bool = True
    ) -> None:
        """Set the maps that the backbone returns.

        A plain network that returns one map keeps its own stride: there is no other map to align
        with.

        Args:
            stages: Changed in place where strides are kept.
            indices: ``out_indices``; negative ones count from the last.
            owner: Name of the network, for messages.
            align: False: maps of a plain network always keep their stride.

        Raises:
            ConfigError: An index names no stage.
        """
        self.stages, self.num_outputs = stages, len(stages)
        self.out_indices = resolved_indices(owner, 'out_indices', indices, len(stages), 'maps')
        if is_plain(stages) and (len(self.out_indices) == 1 or not align):
            for stage in stages:
                stage.stride = stage.own
        self.chosen = [stages[i] for i in self.out_indices]
        self.out_channels = tuple(stage.width for stage in self.chosen)
        self.strides = tuple(stage.stride for stage in self.chosen)

    def init_own_weights(self) -> None:
        """Do nothing: the network already has its weights."""

    def init_weights(self) -> None:
        """Follow ``init_cfg``, which may load a file; without one, the network's weights stay."""
        if self.init_cfg is not None:
            super().init_weights()
