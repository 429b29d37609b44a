"""A COCO annotation file in itself: reading, completing, faults, and objects that are not used."""

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as run_lengths

from mim_bench.data.archives import read_file
from mim_bench.data.summary import difference, listed
from mim_bench.errors import DataError, first_of

# A share of objects that may be wrong in a way that loaders survive: COCO's own boxes are rounded.
_TOLERATED = 0.01
_SLACK = 1.0  # pixels that a box may stick out
_FAULTS_SHOWN = 3
_LARGEST_ID = 2**53  # beyond it numbers of float64 have gaps, and evaluators count in float64
_FARTHEST = 10  # times the longer side that an outline may stick out; it is drawn point by point


def read_document(path: str) -> dict[str, Any]:
    """An annotation file with its three lists.

    Raises:
        DataError: It is not there, no JSON, or lacks a list.
    """
    try:
        document = json.loads(read_file(path))
    except FileNotFoundError as error:
        raise DataError(f'{path}: there is no such annotation file. Check --data-root.') from error
    except (OSError, ValueError) as error:
        raise DataError(f'{path}: cannot be read as JSON ({error}). Fetch it again.') from error
    for key in ('images', 'annotations', 'categories'):
        entries = document.get(key) if isinstance(document, dict) else None
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and _is_id(entry.get('id')) for entry in entries
        ):
            raise DataError(
                f'{path}: needs a list {key!r} whose entries have an `id`, a whole number from 0 '
                f"to {_LARGEST_ID:,}. Give annotations in COCO's format."
            )
    return document


def category_ids(
    categories: Sequence[Mapping[str, Any]], names: Sequence[str], path: str
) -> list[int]:
    """Ids of the categories with these names, in the order of the names.

    Raises:
        DataError: A name is not there, or stands twice; with both lists.
    """
    found: dict[str, int] = {}
    for category in categories:
        name = str(category.get('name'))
        if name in found:
            raise DataError(f'{path}: categories: 2 are called {name!r}. Rename one of them.')
        found[name] = category['id']
    if missing := [name for name in names if name not in found]:
        only = [name for name in found if name not in names]
        raise DataError(
            f'{path}: has no category {first_of(list(map(repr, missing)), 1)}'
            f' of the classes of the config: {difference(missing, only, "config", "file")} The '
            f'config has {listed(list(names))}; the file has {listed(list(found))}. Correct the '
            'names in `categories` (a category needs no object), name a part of them in '
            'metainfo.classes, or train other data with `mim-bench train --own-data NAME`.'
        )
    return [found[name] for name in names]


def complete(document: dict[str, Any]) -> int:
    """State the area of objects that say none, or 0, from their outline or box; in place.

    Polygons of less than three points, which bound nothing, are dropped from outlines with others.

    Returns:
        How many areas were computed.
    """
    sizes = {image['id']: (image.get('height'), image.get('width')) for image in document['images']}
    computed = 0
    for entry in document['annotations']:
        segmentation = entry.get('segmentation')
        if isinstance(segmentation, list) and (polygons := _polygons(segmentation)):
            entry['segmentation'] = polygons
        area = entry.get('area')
        if isinstance(area, int | float) and 0 < area < math.inf:
            continue
        box = entry.get('bbox')
        if is_box(box) and min(box[2:]) > 0:
            image_id = entry.get('image_id')
            size = sizes[image_id] if _is_one(image_id, sizes) else None
            entry['area'] = _area(entry.get('segmentation'), size) or float(box[2] * box[3])
            computed += 1
        else:
            entry['area'] = 0.0
    return computed


def _area(segmentation: Any, size: tuple | None) -> float:
    """Pixels of an outline; 0 where there is none that can be drawn."""
    if size is None or not all(map(_is_side, size)) or outline_fault(segmentation, size):
        return 0.0
    if isinstance(segmentation, dict) and isinstance(segmentation['counts'], str):
        return float(run_lengths.area(segmentation))
    runs = run_lengths.frPyObjects(segmentation, *size)
    return float(run_lengths.area(run_lengths.merge(runs) if isinstance(runs, list) else runs))


def check_document(document: Mapping[str, Any], path: str, *, needs_outlines: bool) -> None:
    """Raise for an annotation file that a loader cannot read, or would read wrongly.

    Args:
        document: Result of :func:`read_document`.
        path: For the message.
        needs_outlines: Whether masks are trained or measured.

    Raises:
        DataError: It names the first objects.
    """
    faults: dict[str, list[str]] = {}
    for kind, message in document_faults(document):
        faults.setdefault(kind, []).append(message)
    ignored = set() if needs_outlines else {'outline'}
    allowed = _TOLERATED * len(document['annotations'])
    for kind, messages in faults.items():
        if kind in ignored or (
            kind in ('outside', 'image', 'category') and len(messages) < allowed
        ):
            continue
        advice = ' GFL needs boxes only (configs/detection/gfl).' if kind == 'outline' else ''
        raise DataError(
            f'{path}: {first_of(messages, _FAULTS_SHOWN, "; ")}. '
            f'`mim-bench data check coco` lists them all.{advice}'
        )


def document_faults(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong in an annotation file in itself: pairs of a kind and a message with the id."""
    faults = []
    for what in ('images', 'annotations', 'categories'):
        counted = Counter(entry['id'] for entry in document[what])
        faults += [('id', f'{what}: id {i} stands {n} times') for i, n in counted.items() if n > 1]
        if not counted:
            faults.append(('empty', f'{what}: the list is empty'))
    named = Counter(str(category.get('name')) for category in document['categories'])
    faults += [('id', f'categories: {n} are called {name!r}') for name, n in named.items() if n > 1]
    faults += [
        (
            'described',
            f'image {entry["id"]} lacks a file_name, or a width and height in whole pixels',
        )
        for entry in document['images']
        if not is_described(entry)
    ]
    images = {entry['id']: entry for entry in document['images']}
    categories = {entry['id'] for entry in document['categories']}
    for entry in document['annotations']:
        faults += [
            (kind, f'annotation {entry["id"]} {message}')
            for kind, message in _object_faults(entry, images, categories)
        ]
    return faults


def _object_faults(
    entry: Mapping[str, Any], images: Mapping[Any, Mapping[str, Any]], categories: set[Any]
) -> list[tuple[str, str]]:
    faults = []
    image_id, category_id = entry.get('image_id'), entry.get('category_id')
    image = images[image_id] if _is_one(image_id, images) else None
    if image is None:
        faults.append(('image', f'belongs to image {image_id!r}, which is not in the file'))
    if not _is_one(category_id, categories):
        faults.append(('category', f'has category {category_id!r}, which is not in the file'))
    is_sized = image is not None and is_described(image)
    box = entry.get('bbox')
    if not is_box(box):
        faults.append(('box', f'has the box {box}, expected [left, top, width, height] in pixels'))
    elif is_sized and not _is_inside(box, image):
        size = (image['width'], image['height'])
        faults.append(
            ('outside', f'has the box {box} outside its image of {size} pixels (width, height)')
        )
    for key in ('iscrowd', 'ignore'):
        if entry.get(key, 0) not in (0, 1):
            faults.append((key, f'has {key} {entry[key]!r}, expected 0 or 1'))
    size = (image['height'], image['width']) if is_sized else None
    if fault := outline_fault(entry.get('segmentation'), size):
        faults.append(('outline', fault))
    return faults


def unused_objects(
    document: Mapping[str, Any], category_ids: Collection[int], *, is_test: bool
) -> tuple[dict[str, int], set[int]]:
    """Objects that a training or a metric does not use, by reason; categories of the others."""
    images = {image['id'] for image in document['images']}
    reasons: Counter[str] = Counter()
    used = set()
    rules: list[tuple[str, Callable[[Mapping[str, Any]], bool]]] = [
        ('without a box', lambda a: not is_box(a.get('bbox'))),
        ('of images that the file does not list', lambda a: not _is_one(a.get('image_id'), images)),
        ('of other categories', lambda a: not _is_one(a.get('category_id'), category_ids)),
        ('marked as crowds', lambda a: bool(a.get('iscrowd'))),
        ('marked to be ignored', lambda a: bool(a.get('ignore'))),
    ]
    if not is_test:
        rules.append(('under one pixel wide or high', lambda a: min(a['bbox'][2:]) < 1))
    for entry in document['annotations']:
        reason = next((name for name, holds in rules if holds(entry)), None)
        if reason is None:
            used.add(entry['category_id'])
        else:
            reasons[reason] += 1
    return dict(reasons), used


def _is_one(number: Any, ids: Container[int]) -> bool:
    """Whether an id is known; what stands in a damaged file may not even be hashable."""
    return isinstance(number, int) and number in ids


def is_described(image: Mapping[str, Any]) -> bool:
    """Whether an entry of ``images`` has a file name, and a size in whole pixels."""
    sides = (image.get('width'), image.get('height'))
    return isinstance(image.get('file_name'), str) and all(map(_is_side, sides))


def is_box(box: Any) -> bool:
    """Whether a box is four finite numbers, the last two not negative."""
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(value, int | float) and abs(value) < float('inf') for value in box)
        and min(box[2:]) >= 0
    )


def _is_inside(box: Sequence[float], image: Mapping[str, Any]) -> bool:
    left, top, width, height = box
    return (
        min(left, top) >= -_SLACK
        and left + width <= image['width'] + _SLACK
        and top + height <= image['height'] + _SLACK
    )


def _is_id(number: Any) -> bool:
    return isinstance(number, int) and 0 <= number <= _LARGEST_ID


def _is_side(side: Any) -> bool:
    return isinstance(side, int) and side > 0


def _polygons(segmentation: list) -> list[list]:
    """The polygons of three points or more."""
    return [p for p in segmentation if isinstance(p, list) and len(p) >= 6 and len(p) % 2 == 0]


def outline_fault(segmentation: Any, size: tuple[int, int] | None) -> str | None:
    """What is wrong with an outline; None if it can be drawn. pycocotools itself does not ask.

    Args:
        segmentation: Polygons, or a run-length mask.
        size: (height, width) of the image, if it is known.
    """
    if isinstance(segmentation, dict) and {'counts', 'size'} <= segmentation.keys():
        return _mask_fault(segmentation, size)
    polygons = _polygons(segmentation) if isinstance(segmentation, list) else []
    if not polygons:
        return 'has no segmentation: neither a polygon of three points nor a mask'
    try:
        are_finite = all(math.isfinite(sum(polygon)) for polygon in polygons)
    except TypeError:
        are_finite = False
    if not are_finite:
        return 'has a polygon whose coordinates are not all finite numbers'
    far = max(max(max(polygon), -min(polygon)) for polygon in polygons)
    if size is not None and far > _FARTHEST * max(size):
        return f'has a polygon at {far:g}, far outside its image of {[*size]} (height, width)'
    return None


def _mask_fault(mask: Mapping[str, Any], size: tuple[int, int] | None) -> str | None:
    counts, sides = mask['counts'], mask['size']
    if not (isinstance(sides, list) and len(sides) == 2 and all(map(_is_side, sides))):
        return f'has a mask of the size {sides}, expected [height, width] in pixels'
    if size is not None and tuple(sides) != size:
        return f'has a mask of {sides} pixels (height, width), its image {[*size]}'
    if isinstance(counts, str):
        runs = _uncompressed(counts)
    elif isinstance(counts, list) and all(isinstance(run, int) for run in counts):
        runs = np.array(counts, dtype=object)
    else:
        runs = None
    if runs is None:
        return 'has a mask whose counts are neither whole numbers nor a text of COCO'
    if (len(runs) and runs.min() < 0) or runs.sum() != math.prod(sides):
        return f'has a mask whose counts do not add up to its {sides} pixels (height, width)'
    return None


def _uncompressed(text: str) -> np.ndarray | None:
    """Run lengths of COCO's text; None if it is none.

    A run is given in digits of five bits, the lowest first: a character of 48 + digit, 32 more if
    another digit follows. From the fourth run on it is the difference to the last but one.
    """
    try:
        digits = np.frombuffer(text.encode('ascii'), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        return None
    if len(digits) == 0 or digits.min() < 0 or digits.max() > 63 or digits[-1] & 32:
        return None
    ends = np.flatnonzero(digits & 32 == 0)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    if lengths.max() > 7:  # more than 32 bits
        return None
    place = 5 * (np.arange(len(digits)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((digits & 31) << place, starts)
    runs -= (digits[ends] & 16 > 0).astype(np.int64) << (5 * lengths)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs
