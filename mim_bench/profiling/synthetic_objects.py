"""Random samples for segmentors and detectors, in their libraries' data structures."""

from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData

from mim_bench.recipe.tree import dictionaries

# COCO's training images have 7.3 objects on average.
NUM_OBJECTS = 7
# Side lengths of objects as shares of the image's.
OBJECT_SIDES = (0.05, 0.5)
# Side of squares of one label, in pixels.
REGION_PX = 32
# Number of classes of COCO's stuff maps, for heads that do not state it.
NUM_STUFF_CLASSES = 183


def segmentation_sample(cfg: Config, size: tuple[int, int]) -> dict[str, Any]:
    """A random image and label map, from numpy's global generator.

    Args:
        cfg: A config of mmseg.
        size: (height, width) in pixels.

    Returns:
        The output of ``PackSegInputs``: ``inputs`` (3, H, W) uint8, ``data_samples``.
    """
    from mmseg.structures import SegDataSample

    head = cfg.model.decode_head
    head = head[-1] if isinstance(head, list | tuple) else head
    sample = SegDataSample(metainfo=_metainfo(size))
    sample.gt_sem_seg = PixelData(data=_label_map(head.num_classes, size))
    return {'inputs': _image(size), 'data_samples': sample}


def detection_sample(cfg: Config, size: tuple[int, int]) -> dict[str, Any]:
    """A random image and objects with boxes, masks and labels, from numpy's global generator.

    Args:
        cfg: A config of mmdet. A semantic head gets a label map.
        size: (height, width) in pixels.

    Returns:
        The output of ``PackDetInputs``: ``inputs`` (3, H, W) uint8, ``data_samples``.
    """
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks

    boxes = _boxes(size)
    objects = {
        'bboxes': HorizontalBoxes(torch.from_numpy(boxes)),
        'labels': torch.from_numpy(np.random.randint(0, _num_classes(cfg), NUM_OBJECTS)),
        'masks': BitmapMasks(_masks(boxes, size), *size),
    }
    sample = DetDataSample(metainfo=_metainfo(size))
    sample.gt_instances = InstanceData(**objects)
    # Ignored instances, which HTC and other heads read: none.
    sample.ignored_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.zeros(0, 4)), labels=torch.zeros(0, dtype=torch.long)
    )
    semantic_head = (cfg.model.get('roi_head') or {}).get('semantic_head')
    if semantic_head is not None:
        num_classes = semantic_head.get('num_classes', NUM_STUFF_CLASSES)
        sample.gt_sem_seg = PixelData(sem_seg=_label_map(num_classes, size))
    return {'inputs': _image(size), 'data_samples': sample}


def _image(size: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(np.random.randint(0, 256, (3, *size), np.uint8))


def _metainfo(size: tuple[int, int]) -> dict[str, Any]:
    return dict(img_shape=size, ori_shape=size, pad_shape=size, scale_factor=(1.0, 1.0), img_id=0)


def _label_map(num_classes: int, size: tuple[int, int]) -> torch.Tensor:
    """Random label map (1, height, width) int64 of squares of one label."""
    rows, cols = (-(-side // REGION_PX) for side in size)
    labels = np.random.randint(0, num_classes, (rows, cols))
    labels = labels.repeat(REGION_PX, 0).repeat(REGION_PX, 1)[: size[0], : size[1]]
    return torch.from_numpy(np.ascontiguousarray(labels))[None]


def _boxes(size: tuple[int, int]) -> np.ndarray:
    """Random boxes (NUM_OBJECTS, 4) float32: left, top, right, bottom in pixels."""
    width_height = np.array(size[::-1])
    sides = np.random.uniform(*OBJECT_SIDES, (NUM_OBJECTS, 2)) * width_height
    corners = np.random.uniform(0, 1, (NUM_OBJECTS, 2)) * (width_height - sides)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def _masks(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Masks (NUM_OBJECTS, height, width) uint8: the ellipse inside each box."""
    y, x = np.ogrid[: size[0], : size[1]]
    left, top, right, bottom = (boxes[:, i, None, None] for i in range(4))
    across = (x - (left + right) / 2) / ((right - left) / 2)
    down = (y - (top + bottom) / 2) / ((bottom - top) / 2)
    return (across**2 + down**2 <= 1).astype(np.uint8)


def _num_classes(cfg: Config) -> int:
    """The smallest number of classes of the detector's heads."""
    found = [part['num_classes'] for part in dictionaries(cfg.model) if 'num_classes' in part]
    return min(found, default=1)
