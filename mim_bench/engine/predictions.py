"""The rows of a picture of predictions (image, truth, prediction), for mmseg and mmdet."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch

from mim_bench.data.image_file import read_image
from mim_bench.visualization.overlays import class_colours, show_image, show_map, show_objects

Kind = Literal['segmentation', 'detection']
Row = tuple[np.ndarray, np.ndarray, np.ndarray]

MIN_SCORE = 0.3


def prediction_kind(sample: Any) -> Kind | None:
    """What a data sample predicts; None for samples of other tasks, which have no picture."""
    if 'pred_sem_seg' in sample and 'gt_sem_seg' in sample:
        return 'segmentation'
    if 'pred_instances' in sample and 'gt_instances' in sample:
        return 'detection'
    return None


def prediction_row(sample: Any, dataset_meta: Mapping[str, Any]) -> Row:
    """Image, truth and prediction of a validated sample.

    Args:
        sample: Sample of a :func:`prediction_kind`, with ``img_path``. Annotations and predictions
            are in pixels of the image file, as the libraries leave them when annotations are
            loaded after the resize.
        dataset_meta: ``classes`` and, if there is one, ``palette`` of the data set.
    """
    image = read_image(sample.metainfo['img_path'], 'turned')[..., ::-1]
    classes = list(dataset_meta.get('classes') or [])
    if prediction_kind(sample) == 'segmentation':
        colours = class_colours(len(classes), dataset_meta.get('palette'))
        truth, predicted = (_label_map(sample.get(k)) for k in ('gt_sem_seg', 'pred_sem_seg'))
        return (
            show_image(image),
            show_map(image, truth, colours),
            show_map(image, predicted, colours),
        )
    # COCO's own palette has many dark colours that nearly all look alike over a photograph.
    colours = class_colours(len(classes))
    return (
        show_image(image),
        _objects(image, sample.gt_instances, classes, colours),
        _objects(image, _confident(sample.pred_instances), classes, colours),
    )


def _label_map(pixel_data: Any) -> np.ndarray:
    return pixel_data.data.squeeze(0).cpu().numpy()


def _confident(instances: Any) -> Any:
    return instances[instances.scores >= MIN_SCORE]


def _objects(image: np.ndarray, instances: Any, classes: list[str], colours: list) -> np.ndarray:
    labels = [int(label) for label in instances.labels]
    names = [classes[label] if label < len(classes) else str(label) for label in labels]
    if 'scores' in instances:
        scores = instances.scores.tolist()
        names = [f'{name} {score:.2f}' for name, score in zip(names, scores, strict=True)]
    # mmdet's own box types hold their numbers in `tensor`.
    boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
    return show_objects(
        image,
        torch.as_tensor(boxes).cpu().numpy(),
        names,
        [colours[label] if label < len(colours) else (255, 255, 255) for label in labels],
        masks=_masks(instances.masks) if 'masks' in instances else None,
    )


def _masks(masks: Any) -> np.ndarray:
    # The truth is mmdet's BitmapMasks or PolygonMasks, a prediction an array or a tensor.
    masks = masks.to_ndarray() if hasattr(masks, 'to_ndarray') else torch.as_tensor(masks).cpu()
    return np.asarray(masks).astype(bool)
