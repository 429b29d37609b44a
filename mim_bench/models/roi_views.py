"""Predictions of mmdet's RoI heads in a view of an image, and box mapping between the two."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from mim_bench.errors import ConfigError


def semantic_features(
    roi_head: nn.Module, features: tuple[torch.Tensor, ...]
) -> torch.Tensor | None:
    """Features of HTC's stuff branch; None for a head that has none."""
    if not getattr(roi_head, 'with_semantic', False):
        return None
    return roi_head.semantic_head(features)[1]


def region_boxes(
    detector: nn.Module,
    features: tuple[torch.Tensor, ...],
    semantic: torch.Tensor | None,
    samples: Sequence[Any],
) -> list[Any]:
    """Every proposal's boxes and class scores, before any suppression.

    Args:
        detector: A two-stage detector of mmdet.
        features: Maps of its neck.
        semantic: Result of :func:`semantic_features`.
        samples: Data samples of the batch.

    Returns:
        For each image ``bboxes`` (regions, 4 or 4 * classes) in the view's pixels and
        ``scores`` (regions, classes + 1), background last.
    """
    proposals = detector.rpn_head.predict(features, samples, rescale=False)
    more = {} if semantic is None else {'semantic_feat': semantic}
    return detector.roi_head.predict_bbox(
        features,
        [sample.metainfo for sample in samples],
        proposals,
        rcnn_test_cfg=None,
        rescale=False,
        **more,
    )


def mask_probabilities(
    roi_head: nn.Module,
    features: tuple[torch.Tensor, ...],
    semantic: torch.Tensor | None,
    boxes: Sequence[torch.Tensor],
    metas: Sequence[dict],
) -> torch.Tensor:
    """Mask probabilities of boxes, as if the view were not flipped.

    Args:
        roi_head: With a mask branch: standard, cascade or hybrid task cascade.
        features: Maps of the neck.
        semantic: Result of :func:`semantic_features`.
        boxes: (boxes, 4) of each image in the view's pixels.
        metas: Meta information of each image.

    Returns:
        (boxes of all images, 1 or classes, height, width); a cascade's stages are averaged
        as in its plain test.
    """
    from mmdet.structures.bbox import bbox2roi

    rois = bbox2roi(list(boxes))
    shares = [logits.sigmoid() for logits in _mask_logits(roi_head, features, semantic, rois)]
    share = torch.stack(shares).mean(0)
    parts = share.split([len(part) for part in boxes])
    return torch.cat(
        [part.flip(_flipped_axes(meta)) for part, meta in zip(parts, metas, strict=True)]
    )


def to_image(boxes: torch.Tensor, meta: dict) -> torch.Tensor:
    """Map boxes (n, 4 * any) of a view to pixels of the original image."""
    corners = _mirrored(boxes.reshape(-1, 4), meta, meta['img_shape'])
    return (corners / _factors(corners, meta)).view(boxes.shape)


def to_view(boxes: torch.Tensor, meta: dict) -> torch.Tensor:
    """Map boxes (n, 4) of the original image to pixels of a view."""
    return _mirrored(boxes * _factors(boxes, meta), meta, meta['img_shape'])


def _mask_logits(
    roi_head: nn.Module,
    features: tuple[torch.Tensor, ...],
    semantic: torch.Tensor | None,
    rois: torch.Tensor,
) -> list[torch.Tensor]:
    if hasattr(roi_head, 'mask_info_flow'):  # hybrid task cascade: the last stage counts
        return roi_head._mask_forward(-1, features, rois, semantic, training=False)['mask_preds']
    if hasattr(roi_head, 'num_stages'):
        stages = range(roi_head.num_stages)
        return [roi_head._mask_forward(stage, features, rois)['mask_preds'] for stage in stages]
    return [roi_head._mask_forward(features, rois)['mask_preds']]


def _factors(boxes: torch.Tensor, meta: dict) -> torch.Tensor:
    return boxes.new_tensor(meta['scale_factor']).repeat(2)


def _mirrored(boxes: torch.Tensor, meta: dict, shape: Sequence[int]) -> torch.Tensor:
    """Flip boxes (n, 4) as the view is flipped; applying it twice gives the boxes back."""
    axes = _flipped_axes(meta)
    x1, y1, x2, y2 = boxes.unbind(-1)
    if -1 in axes:
        x1, x2 = shape[1] - x2, shape[1] - x1
    if -2 in axes:
        y1, y2 = shape[0] - y2, shape[0] - y1
    return torch.stack((x1, y1, x2, y2), dim=-1)


def _flipped_axes(meta: dict) -> tuple[int, ...]:
    """Axes of a map (..., rows, columns) that the view flips."""
    if not meta.get('flip'):
        return ()
    axes = {'horizontal': (-1,), 'vertical': (-2,), 'diagonal': (-2, -1)}
    direction = meta.get('flip_direction')
    if direction not in axes:
        raise ConfigError(
            f'InstanceTTA: unknown flip {direction!r}. Known: {", ".join(axes)}. Add '
            "'flip_direction' to the meta_keys of the tta_pipeline."
        )
    return axes[direction]
