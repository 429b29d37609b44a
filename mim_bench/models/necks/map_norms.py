"""Small necks on the maps of a backbone: norms, pooling, one projection a stage."""

from collections.abc import Iterable, Sequence

import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmpretrain.models.utils import LayerNorm2d
from torch import nn

from mim_bench.errors import ConfigError
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
        """Pool and normalise the last map: (B, C, H, W) -> ((B, C),)."""
        return (self.norm(feats[-1].mean(dim=(2, 3))),)


class _MapNorms(BaseModule):
    """A norm for each map of a backbone."""

    def __init__(self, norms: Iterable[nn.Module], init_cfg: dict | list | None) -> None:
        super().__init__(init_cfg)
        self.norms = nn.ModuleList(norms)

    def paired(self, inputs: Sequence[torch.Tensor]) -> Iterable[tuple[nn.Module, torch.Tensor]]:
        """The norms, each with its map.

        Raises:
            ConfigError: The backbone gives another number of maps.
        """
        if len(inputs) != len(self.norms):
            raise ConfigError(
                f'{type(self).__name__}: {len(inputs)} maps for {len(self.norms)} in_channels. '
                "Give as many as the backbone's out_indices."
            )
        return zip(self.norms, inputs, strict=True)

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Normalise each map (B, C_i, H_i, W_i)."""
        return tuple(norm(x) for norm, x in self.paired(inputs))


@MODELS.register_module()
class MapBatchNorm(_MapNorms):
    """A batch norm for each map, so that one learning rate fits features of any scale.

    Args:
        in_channels: Widths of the maps.
        norm_cfg: Config of the norms; SyncBN by default.
        init_cfg: Initialisation of mmengine.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        norm_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        norm_cfg = norm_cfg or dict(type='SyncBN', requires_grad=True)
        super().__init__((build_norm_layer(norm_cfg, c)[1] for c in in_channels), init_cfg)


@MODELS.register_module()
class StageNorm(_MapNorms):
    """LayerNorm over the channels of each stage, as in the standard Swin for dense tasks.

    It does not change the protocol: a model without it has these norms in its backbone.

    Args:
        in_channels: Widths of the stages.
        init_cfg: Initialisation of mmengine.

    Source: Swin's detection code, where each returned stage has a fresh norm.
    """

    def __init__(self, in_channels: Sequence[int], *, init_cfg: dict | list | None = None) -> None:
        super().__init__(map(LayerNorm2d, in_channels), init_cfg)


@MODELS.register_module()
class StageProjection(_MapNorms):
    """A linear layer for each stage, with LayerNorm before it where asked.

    Args:
        in_channels: Widths of the stages.
        out_channels: Width of every output.
        norm: Put a LayerNorm before the projection (the detection recipe does, the
            segmentation recipe does not).
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
        super().__init__(
            (nn.LayerNorm(c) if norm else nn.Identity() for c in in_channels), init_cfg
        )
        self.projections = nn.ModuleList(nn.Linear(c, out_channels) for c in in_channels)

    def forward(self, feats: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Project the map of each stage: (B, C_i, H_i, W_i) -> (B, out_channels, H_i, W_i)."""
        return tuple(
            projection(norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2).contiguous()
            for projection, (norm, x) in zip(self.projections, self.paired(feats), strict=True)
        )
