"""Finds the largest image size of a config, for networks that are built for one size."""

from collections.abc import Iterator, Mapping
from typing import Any

from mim_bench.recipe.tree import inner_dataset

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_MULTIPLE = 32  # detectors pad images to multiples of this


def largest_side(cfg: Mapping[str, Any]) -> int | None:
    """Side in pixels of the square that holds every image of a config; None if not stated."""
    test = (cfg.get('model') or {}).get('test_cfg') or {}
    sides = [side for name in _LOADERS for side in _sides(cfg.get(name), test, name)]
    probe = (cfg.get('test_cfg') or {}).get('bank_dataloader')
    sides += _sides(probe, test, 'bank_dataloader')
    return -(-max(sides) // _MULTIPLE) * _MULTIPLE if sides else None


def _sides(loader: Any, test: Mapping[str, Any], name: str) -> list[int]:
    if name != 'train_dataloader' and test.get('mode') == 'slide':
        return [max(_numbers(test['crop_size']))]
    size = 0
    for step in inner_dataset(loader).get('pipeline') or ():
        size = _after(step, size)
    return [size] if size else []


def _after(step: Any, size: int) -> int:
    """The longest side after a step of a pipeline."""
    if not isinstance(step, Mapping):
        return size
    kind = str(step.get('type'))
    if 'Crop' in kind:
        crop = [*_numbers(step.get('crop_size')), *_numbers(step.get('scale'))]
        crop += _numbers(step.get('size'))
        # Relative crops state no size.
        return int(max(crop)) if crop and max(crop) > 1 else size
    if 'Resize' in kind:
        scales = [*_numbers(step.get('scale')), *_numbers(step.get('scales'))]
        ratios = _numbers(step.get('ratio_range'))
        return int(max(scales) * max(ratios, default=1)) if scales else size
    return max((_after(part, size) for part in _steps(step.get('transforms'))), default=size)


def _steps(node: Any) -> Iterator[Mapping[str, Any]]:
    for part in node or ():
        if isinstance(part, Mapping):
            yield part
        elif isinstance(part, list | tuple):
            yield from _steps(part)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, int | float):
        return [value]
    if isinstance(value, list | tuple):
        return [number for part in value for number in _numbers(part)]
    return []
