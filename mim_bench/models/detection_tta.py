"""Multi-scale and mirrored test of detectors with masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.models.roi_views import (
    mask_probabilities,
    region_boxes,
    semantic_features,
    to_image,
    to_view,
)
from mim_bench.registry import MODELS

# COCO's areas of boxes, in pixels of the original image; the upper end is excluded.
AREAS = {'small': (0, 32**2), 'medium': (32**2, 96**2), 'large': (96**2, float('inf'))}


@dataclass(frozen=True)
class _View:
    """Features of a batch under one augmentation.

    Attributes:
        features: Maps of the neck.
        semantic: Features of the stuff branch, or None.
        metas: For each image how it was resized and flipped.
        samples: The data samples of the loader.
    """

    features: tuple[torch.Tensor, ...]
    semantic: torch.Tensor | None
    metas: list[dict]
    samples: list[Any]


@MODELS.register_module()
class InstanceTTA(BaseTTAModel):
    """Test-time augmentation of Mask R-CNN, Cascade Mask R-CNN and HTC, masks included.

    The boxes of all views are mapped to the original image and suppressed together. The mask
    branch then predicts the remaining boxes in every view, and the probabilities are averaged.
    With one view that is not flipped, the result equals the plain test's.

    Needs ``scale`` (only with ``area_filter``), ``flip``, ``flip_direction``, ``scale_factor``
    and ``ori_shape`` among the ``meta_keys`` that the ``tta_pipeline`` packs. The feature maps of
    all views are in memory at the same time.

    Args:
        tta_cfg: ``score_thr``, ``nms`` and ``max_per_img`` of the merged boxes; those of the
            detector's ``test_cfg.rcnn`` where not given.
        area_filter: Pairs of the short side that a view is resized to and the sizes of boxes
            ('small', 'medium', 'large') that it may report; None: all sizes in all views.
        module: The detector, or its config.
        data_preprocessor: mmengine's data preprocessor.

    Raises:
        ConfigError: ``area_filter`` names an unknown size, or leaves out a view's side.

    Source: ViT-Adapter's HTC++, arXiv:2205.08534: soft-NMS over scales with a filter by area.
    Differs: regions are merged before any suppression. Areas are those of boxes, since masks
    come last.
    """

    def __init__(
        self,
        module: dict | nn.Module,
        *,
        tta_cfg: dict | None = None,
        area_filter: Sequence[tuple[int, Sequence[str]]] | None = None,
        data_preprocessor: dict | nn.Module | None = None,
    ) -> None:
        super().__init__(module, data_preprocessor)
        self.tta_cfg = dict(tta_cfg or {})
        self.area_filter = None if area_filter is None else _check_filter(area_filter)

    @torch.no_grad()
    def test_step(self, data: dict) -> list:
        """Detect objects.

        Args:
            data: A batch of a ``TestTimeAug`` pipeline: under each key one entry a
                view, with the images of the batch.

        Returns:
            A data sample an image; ``pred_instances`` has bboxes, scores, labels and masks in
            the original image.
        """
        return self._merge([self._look(view) for view in _split_views(data)])

    def merge_preds(self, data_samples_list: list) -> list:
        """Not used: boxes are merged before there are predictions."""
        raise NotImplementedError('InstanceTTA merges regions, not predictions; call test_step.')

    def _look(self, data: dict) -> _View:
        batch = self.module.data_preprocessor(data, False)
        samples = batch['data_samples']
        features = self.module.extract_feat(batch['inputs'])
        semantic = semantic_features(self.module.roi_head, features)
        return _View(features, semantic, [s.metainfo for s in samples], samples)

    def _merge(self, views: list[_View]) -> list:
        regions = [self._regions(view) for view in views]
        found = [
            self._suppress([view[image] for view in regions])
            for image in range(len(views[0].samples))
        ]
        if self.module.roi_head.with_mask:
            self._add_masks(found, views)
        for sample, instances in zip(views[0].samples, found, strict=True):
            sample.pred_instances = instances
        return views[0].samples

    def _regions(self, view: _View) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Boxes (regions, 4 or 4 * classes) and scores (regions, classes + 1) of each image."""
        results = region_boxes(self.module, view.features, view.semantic, view.samples)
        regions = []
        for result, meta in zip(results, view.metas, strict=True):
            boxes = to_image(result.bboxes, meta)
            regions.append((boxes, self._filter(boxes, result.scores, meta)))
        return regions

    def _filter(self, boxes: torch.Tensor, scores: torch.Tensor, meta: dict) -> torch.Tensor:
        """Set the scores of boxes to zero whose area the view may not report."""
        if self.area_filter is None or not len(boxes):
            return scores
        side = min(meta['scale'])
        if side not in self.area_filter:
            raise ConfigError(
                f'InstanceTTA: area_filter says nothing of the short side {side}. It has '
                f'{", ".join(map(str, self.area_filter))}. Add it, or leave area_filter out.'
            )
        x1, y1, x2, y2 = boxes.view(len(boxes), -1, 4).unbind(-1)
        area = (x2 - x1) * (y2 - y1)  # (regions, 1 or classes)
        is_in = torch.zeros_like(area, dtype=torch.bool)
        for size in self.area_filter[side]:
            low, high = AREAS[size]
            is_in |= (area >= low) & (area < high)
        return torch.cat((scores[:, :-1] * is_in, scores[:, -1:]), dim=1)

    def _suppress(self, regions: list[tuple[torch.Tensor, torch.Tensor]]) -> InstanceData:
        from mmdet.models.layers import multiclass_nms

        cfg = {**self.module.roi_head.test_cfg, **self.tta_cfg}
        # A view without proposals returns boxes for one class even if the head has several.
        regions = [pair for pair in regions if len(pair[0])] or regions[:1]
        boxes, scores = (torch.cat(parts) for parts in zip(*regions, strict=True))
        kept, labels = multiclass_nms(
            boxes, scores, cfg['score_thr'], cfg['nms'], cfg['max_per_img']
        )
        return InstanceData(bboxes=kept[:, :4], scores=kept[:, 4], labels=labels)

    def _add_masks(self, found: list[InstanceData], views: list[_View]) -> None:
        """Average the masks over the views and paste them into the original images."""
        roi_head = self.module.roi_head
        head = roi_head.mask_head
        head = head[-1] if isinstance(head, nn.ModuleList) else head
        counts, shares = [len(instances) for instances in found], []
        for view in views:
            pairs = zip(found, view.metas, strict=True)
            boxes = [to_view(instances.bboxes, meta) for instances, meta in pairs]
            shares.append(
                mask_probabilities(roi_head, view.features, view.semantic, boxes, view.metas)
            )
        masks = torch.stack(shares).mean(0).split(counts)
        # The boxes are those of the original image already.
        metas = [{**meta, 'scale_factor': (1.0, 1.0)} for meta in views[0].metas]
        head.predict_by_feat(
            mask_preds=masks,
            results_list=found,
            batch_img_metas=metas,
            rcnn_test_cfg=roi_head.test_cfg,
            rescale=True,
            activate_map=True,
        )


def _check_filter(area_filter: Sequence[tuple[int, Sequence[str]]]) -> dict[int, tuple[str, ...]]:
    sizes = {int(side): tuple(names) for side, names in area_filter}
    if unknown := sorted({name for names in sizes.values() for name in names} - set(AREAS)):
        raise ConfigError(
            f'InstanceTTA: area_filter names {unknown}. Known sizes: {", ".join(AREAS)}.'
        )
    return sizes


def _split_views(data: dict) -> Iterator[dict]:
    """Split a batch into one batch a view."""
    num_views = len(next(iter(data.values())))
    for view in range(num_views):
        yield {key: values[view] for key, values in data.items()}
