"""BatchNorm on the maps of a frozen backbone, before a linear head."""

from collections.abc import Sequence

import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.registry import MODELS


@MODELS.register_module()
class MapBatchNorm(BaseModule):
    """A batch norm for each map, so that one learning rate fits features of any scale.

    Args:
        in_channels: Widths of the maps.
        norm_cfg: Of the norms; SyncBN by default.
        init_cfg: Initialisation of mmengine.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        norm_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        norm_cfg = norm_cfg or dict(type='SyncBN', requires_grad=True)
        self.norms = nn.ModuleList(build_norm_layer(norm_cfg, width)[1] for width in in_channels)

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Normalise each map (B, C_i, H_i, W_i).

        Raises:
            ConfigError: The backbone gives another number of maps.
        """
        if len(inputs) != len(self.norms):
            raise ConfigError(
                f'MapBatchNorm: {len(inputs)} maps for {len(self.norms)} in_channels. Give as many '
                "as the backbone's out_indices."
            )
        return tuple(norm(x) for norm, x in zip(self.norms, inputs, strict=True))
