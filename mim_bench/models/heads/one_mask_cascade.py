"""Cascade R-CNN's RoI head as detectron2 trains it: one mask head for all stages."""

from functools import cache
from typing import Any

import torch
from torch import nn

from mim_bench.registry import MODELS


@MODELS.register_module(name='OneMaskCascadeRoIHead')
def one_mask_cascade_roi_head(**settings: Any) -> nn.Module:
    """Build mmdet's ``CascadeRoIHead`` with one mask head, taught by the first stage's samples.

    The box heads of the n stages send 1/n of their gradient on to the feature maps.

    Args:
        settings: Of mmdet's ``CascadeRoIHead``; ``mask_head`` is the config of one head.

    Source: facebookresearch/detectron2@02b5c4e, modeling/roi_heads/cascade_rcnn.py.
    """
    return _head_class()(**settings)


@cache
def _head_class() -> type[nn.Module]:
    from mmdet.models.roi_heads import CascadeRoIHead

    class OneMaskCascadeRoIHead(CascadeRoIHead):
        """See :func:`one_mask_cascade_roi_head`."""

        def init_mask_head(self, mask_roi_extractor: dict, mask_head: dict) -> None:
            super().init_mask_head(mask_roi_extractor, mask_head)
            del self.mask_head[1:], self.mask_roi_extractor[1:]

        def _bbox_forward(self, stage: int, x: tuple[torch.Tensor, ...], rois: Any) -> dict:
            share = 1 / self.num_stages
            x = tuple(share * level + (1 - share) * level.detach() for level in x)
            return super()._bbox_forward(stage, x, rois)

        def _mask_forward(self, stage: int, x: tuple[torch.Tensor, ...], rois: Any) -> dict:
            # The plain test averages the stages: here of equal predictions.
            return super()._mask_forward(0, x, rois)

        def mask_loss(self, stage: int, *args: Any) -> dict:
            return super().mask_loss(stage, *args) if stage == 0 else {'loss_mask': {}}

    return OneMaskCascadeRoIHead
