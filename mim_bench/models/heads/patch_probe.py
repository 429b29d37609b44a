"""The head of probes of frozen patch features: a classifier that is fitted, not trained.

:mod:`mim_bench.evaluation.probes.patches` fits it; this class makes it a head of mmseg.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch.nn import functional as F

from mim_bench.registry import MODELS


@MODELS.register_module()
class PatchProbeHead(BaseModule):
    """Classifies each patch by a function of its frozen features; scores are resized bilinearly.

    Args:
        num_classes: C.
        init_cfg: Initialisation of mmengine.

    Attributes:
        classifier: Features (M, D) -> scores (M, C); all scores are 0 until it is set.
    """

    align_corners = False

    def __init__(self, num_classes: int, init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.num_classes = self.out_channels = num_classes
        self.classifier: Callable[[torch.Tensor], torch.Tensor] | None = None

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Compute scores (B, C, H_0, W_0) from a backbone's maps (B, D_i, H_i, W_i)."""
        joined = joined_maps(maps)
        batch, _, height, width = joined.shape
        if self.classifier is None:
            return joined.new_zeros(batch, self.num_classes, height, width)
        scores = self.classifier(joined.permute(0, 2, 3, 1).flatten(0, 2))
        return scores.unflatten(0, (batch, height, width)).permute(0, 3, 1, 2)

    def predict(
        self,
        maps: Sequence[torch.Tensor],
        batch_img_metas: Sequence[Mapping[str, Any]],
        test_cfg: Mapping[str, Any] | None,
    ) -> torch.Tensor:
        """Scores at the size of the images, (B, C, H, W); arguments of mmseg's heads."""
        size = tuple(batch_img_metas[0]['img_shape'][:2])
        return F.interpolate(self(maps).float(), size, mode='bilinear', align_corners=False)


def joined_maps(maps: Sequence[torch.Tensor] | torch.Tensor) -> torch.Tensor:
    """Concatenate the maps of several layers at the size of the first.

    If there are several, feature vectors are normalised to length 1, so that all layers have equal
    weight in a cosine.

    Args:
        maps: (B, D_i, H_i, W_i) each.

    Returns:
        (B, sum of D_i, H_0, W_0).
    """
    maps = [maps] if isinstance(maps, torch.Tensor) else list(maps)
    if len(maps) == 1:
        return maps[0]
    size = maps[0].shape[2:]
    resized = (F.interpolate(m, size, mode='bilinear', align_corners=False) for m in maps)
    return torch.cat([F.normalize(m, dim=1) for m in resized], dim=1)
