"""detectron2's variant of Cascade R-CNN's RoI head: one mask head for all stages."""

from functools import cache
from typing import Any

import torch
from torch import nn

from mim_bench.registry import MODELS


@MODELS.register_module(name='OneMaskCascadeRoIHead')
def one_mask_cascade_roi_head(**settings: Any) -> nn.Module:
    """Build mmdet's ``CascadeRoIHead`` with the rules of detectron2's ``CascadeROIHeads``.

    - One mask head, which learns from the first stage's samples.
    - The box heads of the n stages pass 1/n of their gradient to the feature maps.
    - The next stage gets all refined boxes that a stage sampled, those of the annotations
      included; boxes without area are dropped.
    - The test averages the probabilities of the stages; mmdet averages their logits.

    Args:
        settings: Arguments of mmdet's ``CascadeRoIHead``; ``mask_head`` is the config of one head.

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

        def bbox_loss(self, stage: int, x: tuple[torch.Tensor, ...], samples: list) -> dict:
            for sample in samples:
                left, top, right, bottom = sample.neg_priors.unbind(1)
                has_area = (right > left) & (bottom > top)
                sample.neg_priors = sample.neg_priors[has_area]
                sample.neg_inds = sample.neg_inds[has_area]
                # mmdet would leave boxes that are marked as annotations out of the next stage.
                sample.pos_is_gt = torch.zeros_like(sample.pos_is_gt)
            return super().bbox_loss(stage, x, samples)

        def _bbox_forward(
            self,
            stage: int,
            x: tuple[torch.Tensor, ...],
            rois: torch.Tensor,
            probabilities: list[torch.Tensor] | None = None,
        ) -> dict:
            share = 1 / self.num_stages
            x = tuple(share * level + (1 - share) * level.detach() for level in x)
            results = super()._bbox_forward(stage, x, rois)
            if probabilities is not None:
                probabilities.append(results['cls_score'].float().softmax(-1))
            return results

        def _refine_roi(
            self,
            x: tuple[torch.Tensor, ...],
            rois: torch.Tensor,
            batch_img_metas: list[dict],
            num_proposals_per_img: tuple[int, ...],
        ) -> tuple:
            probabilities: list[torch.Tensor] = []
            refined, _, deltas = super()._refine_roi(
                x, rois, batch_img_metas, num_proposals_per_img, probabilities=probabilities
            )
            # The logits whose softmax is the mean of the stages.
            mean = torch.stack(probabilities).mean(0).log()
            return refined, mean.split(num_proposals_per_img), deltas

        def _mask_forward(self, stage: int, x: tuple[torch.Tensor, ...], rois: Any) -> dict:
            # mmdet's test averages over stages, whose predictions are equal here.
            return super()._mask_forward(0, x, rois)

        def mask_loss(self, stage: int, *args: Any) -> dict:
            return super().mask_loss(stage, *args) if stage == 0 else {'loss_mask': {}}

    return OneMaskCascadeRoIHead
