"""Checking a COCO annotation file in itself: ids, categories, boxes, outlines."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mim_bench.data.checks.report import Kind, Problem

_SLACK = 1.0  # pixels that a box may stick out: COCO's own are rounded


@dataclass(frozen=True)
class Instances:
    """An annotation file that has the right shape.

    Attributes:
        images: Entries with at least ``id``.
        annotations: Entries with at least ``id``.
        categories: Entries with at least ``id``.
    """

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]

    def file_names(self) -> list[str]:
        """Names of the images' files."""
        return [entry['file_name'] for entry in self.images if _is_described(entry)]

    @property
    def num_flat_boxes(self) -> int:
        """Boxes of no width or height; COCO has a few, and the loaders skip them."""
        boxes = (entry.get('bbox') for entry in self.annotations)
        return sum(1 for box in boxes if _is_box(box) and min(box[2:]) == 0)


def read_instances(path: Path, name: str) -> tuple[Instances | None, list[Problem]]:
    """Read an annotation file.

    Returns:
        What it holds and no problem, or None and why it cannot be used.
    """
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return None, [Problem(name, Kind.MISSING, 'annotation file is not there')]
    except (OSError, ValueError) as error:
        return None, [Problem(name, Kind.UNREADABLE, f'is not JSON: {error}')]
    lists = []
    for key in ('images', 'annotations', 'categories'):
        entries = document.get(key) if isinstance(document, dict) else None
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and isinstance(entry.get('id'), int) for entry in entries
        ):
            message = f'has no list {key!r} of entries with a whole number as id'
            return None, [Problem(name, Kind.ANNOTATION, message)]
        lists.append(entries)
    return Instances(*lists), []


def check_instances(instances: Instances, name: str) -> list[Problem]:
    """Problems of ids, categories, boxes and outlines, each named by its id."""
    messages = []
    for what in ('images', 'annotations', 'categories'):
        counted = Counter(entry['id'] for entry in getattr(instances, what))
        messages += [f'{what}: id {i} stands {n} times' for i, n in counted.items() if n > 1]
        if not counted:
            messages.append(f'{what}: the list is empty')
    messages += [
        f'image {entry["id"]} lacks a file_name, or a width and height in pixels'
        for entry in instances.images
        if not _is_described(entry)
    ]
    images = {entry['id']: entry for entry in instances.images}
    categories = {entry['id'] for entry in instances.categories}
    for entry in instances.annotations:
        messages += [
            f'annotation {entry["id"]} {message}'
            for message in _annotation_faults(entry, images, categories)
        ]
    return [Problem(name, Kind.ANNOTATION, message) for message in messages]


def _annotation_faults(
    entry: dict[str, Any], images: dict[Any, dict[str, Any]], categories: set[Any]
) -> list[str]:
    faults = []
    # What stands in a damaged file may not even be hashable.
    image_id, category_id = entry.get('image_id'), entry.get('category_id')
    image = images.get(image_id) if isinstance(image_id, int) else None
    if image is None:
        faults.append(f'belongs to image {image_id}, which is not in the file')
    if not isinstance(category_id, int) or category_id not in categories:
        faults.append(f'has category {category_id}, which is not in the file')
    box = entry.get('bbox')
    if not _is_box(box):
        faults.append(f'has the box {box}, expected [left, top, width, height] in pixels')
    elif image is not None and _is_described(image) and not _is_inside(box, image):
        size = (image['width'], image['height'])
        faults.append(f'has the box {box} outside its image of {size} pixels (width, height)')
    if not _has_outline(entry.get('segmentation')):
        faults.append('has no segmentation: neither a polygon of three points nor a mask')
    return faults


def _is_described(image: dict[str, Any]) -> bool:
    sides = (image.get('width'), image.get('height'))
    return isinstance(image.get('file_name'), str) and all(
        isinstance(side, int) and side > 0 for side in sides
    )


def _is_box(box: Any) -> bool:
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(value, int | float) and math.isfinite(value) for value in box)
        and min(box[2:]) >= 0
    )


def _is_inside(box: list[float], image: dict[str, Any]) -> bool:
    left, top, width, height = box
    return (
        min(left, top) >= -_SLACK
        and left + width <= image['width'] + _SLACK
        and top + height <= image['height'] + _SLACK
    )


def _has_outline(segmentation: Any) -> bool:
    """Whether there is a polygon of three points or more, or a run-length mask."""
    if isinstance(segmentation, dict):
        return {'counts', 'size'} <= segmentation.keys()
    return isinstance(segmentation, list) and any(
        isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
        for polygon in segmentation
    )
