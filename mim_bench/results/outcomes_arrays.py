"""Outcomes as plain arrays with a few facts, and back: the content of their file."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from mim_bench.results.outcomes import (
    MOST_THRESHOLDS,
    ClassAreas,
    Detections,
    Hits,
    ImageSet,
    MatchedDetections,
    Outcomes,
)

_AREAS = ('image', 'category', 'intersection', 'predicted', 'labelled')
_MATCHES = tuple(field.name for field in fields(MatchedDetections))


def arrays_of(outcomes: Outcomes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The outcomes as facts (plain JSON data) and arrays of small types."""
    meta: dict[str, Any] = {
        'num_images': outcomes.images.num,
        'images_sha256': outcomes.images.sha256,
    }
    if isinstance(outcomes, Hits):
        meta |= {'kind': 'top1', 'metrics': outcomes.metrics}
        return meta, {'hits': np.packbits(np.stack(list(outcomes.hits.values())), axis=1)}
    if isinstance(outcomes, ClassAreas):
        meta |= {'kind': 'miou', 'num_classes': outcomes.num_classes}
        meta['class_names'] = list(outcomes.class_names)
        return meta, {name: _smallest(getattr(outcomes, name)) for name in _AREAS}
    meta |= {'kind': 'ap', 'num_categories': outcomes.num_categories}
    meta['class_names'] = list(outcomes.class_names)
    meta['iou_types'] = list(outcomes.kinds)
    arrays = {'thresholds': np.asarray(outcomes.thresholds, dtype=np.float64)}
    for kind, found in outcomes.kinds.items():
        arrays |= {f'{kind}.{name}': _smallest(getattr(found, name)) for name in _MATCHES}
    return meta, arrays


def _smallest(array: np.ndarray) -> np.ndarray:
    """The same numbers in the smallest unsigned type that holds them."""
    return array.astype(np.min_scalar_type(int(array.max(initial=0))))


def outcomes_from(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Outcomes:
    """The outcomes that facts and arrays describe.

    Raises:
        ValueError: They contradict each other.
        KeyError: One is missing.
    """
    images = read_images(meta)
    if meta['kind'] == 'top1':
        return Hits(images, _unpack(meta['metrics'], arrays['hits'], images.num))
    if meta['kind'] == 'miou':
        num_classes = _count(meta['num_classes'])
        columns = _columns(arrays, '', _AREAS)
        _check_below(columns, {'image': images.num, 'category': num_classes})
        return ClassAreas(
            images, num_classes, **columns, class_names=_class_names(meta, num_classes)
        )
    if meta['kind'] == 'ap':
        return _detections(meta, arrays, images)
    raise ValueError(f'unknown kind {meta["kind"]!r}')


def read_images(meta: Mapping[str, Any]) -> ImageSet:
    """The images that the facts name."""
    return ImageSet(_count(meta['num_images']), str(meta['images_sha256']))


def _count(value: Any) -> int:
    if not isinstance(value, int) or not 1 <= value < 2**32:
        raise ValueError(f'{value!r} is no count')
    return value


def _unpack(names: list[str], packed: np.ndarray, num: int) -> dict[str, np.ndarray]:
    if packed.dtype != np.uint8 or packed.shape != (len(names), -(-num // 8)):
        raise ValueError(f'hits are {packed.dtype} {packed.shape}')
    rows = np.unpackbits(packed, axis=1, count=num).astype(bool)
    return dict(zip(names, rows, strict=True))


def _columns(
    arrays: Mapping[str, np.ndarray], prefix: str, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    columns = {name: arrays[prefix + name] for name in names}
    for name, column in columns.items():
        if column.ndim != 1 or column.dtype.kind != 'u':
            raise ValueError(f'{prefix}{name} is {column.dtype} {column.shape}')
    return columns


def _check_below(columns: Mapping[str, np.ndarray], limits: Mapping[str, int]) -> None:
    """Columns that index something stay inside it, and all of a table are of one length."""
    for name, limit in limits.items():
        if columns[name].max(initial=0) >= limit:
            raise ValueError(f'{name} holds {columns[name].max()}, of {limit}')
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError(f'{", ".join(columns)} differ in length')


def _detections(
    meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], images: ImageSet
) -> Detections:
    num_categories, thresholds = _count(meta['num_categories']), arrays['thresholds']
    if thresholds.ndim != 1 or not 1 <= len(thresholds) <= MOST_THRESHOLDS:
        raise ValueError(f'thresholds are {thresholds.shape}')
    kinds = {}
    for kind in meta['iou_types']:
        columns = _columns(arrays, f'{kind}.', _MATCHES)
        found = {name: c for name, c in columns.items() if not name.startswith('truth_')}
        truth = {name: c for name, c in columns.items() if name.startswith('truth_')}
        _check_below(found, {'image': images.num, 'category': num_categories})
        _check_below(truth, {'truth_image': images.num, 'truth_category': num_categories})
        if (np.diff(found['category'].astype(np.int64)) < 0).any():
            raise ValueError(f'{kind}.category is not sorted')
        # Bits are shifted by thresholds, which a narrower type would cut off.
        words = {name: columns[name].astype(np.uint16) for name in ('matched', 'ignored')}
        kinds[kind] = MatchedDetections(**{**columns, **words})
    names = _class_names(meta, num_categories)
    return Detections(images, num_categories, thresholds, kinds, names)


def _class_names(meta: Mapping[str, Any], count: int) -> tuple[str, ...]:
    names = tuple(meta['class_names'])
    if (names and len(names) != count) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'{len(names)} class_names of {count} classes')
    return names
