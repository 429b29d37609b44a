"""Outcomes on disk: ``outcomes.npz`` beside a record.

The file holds the outcomes as arrays of small types with a few facts in JSON and, for a
segmentation or a detector, its metrics on the resamples, so that a report need not compute them
again.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AllowInfNan, Field

from mim_bench.errors import RecordError
from mim_bench.results.atomic import write_atomically
from mim_bench.results.outcomes import (
    MOST_THRESHOLDS,
    ClassAreas,
    Detections,
    Hits,
    ImageSet,
    MatchedDetections,
    Outcomes,
)
from mim_bench.results.statistics import NUM_RESAMPLES, SEED, Sample, make_samples
from mim_bench.results.validation import Model, parse_json

OUTCOMES_FILE = 'outcomes.npz'
VERSION = 1
# Unpacked; 5,000 images of COCO have 8 MiB.
MOST_BYTES = 1 << 30
_AREAS = ('image', 'category', 'intersection', 'predicted', 'labelled')
_MATCHES = tuple(field.name for field in fields(MatchedDetections))
_Count = Annotated[int, Field(ge=1, lt=2**32)]
_Arrays = Mapping[str, np.ndarray]


class _Facts(Model):
    """What the file says beside its arrays."""

    version: Literal[VERSION] = VERSION
    kind: Literal['top1', 'miou', 'ap']
    num_images: _Count
    images_sha256: str
    metrics: list[str] = Field(default=[])
    num_classes: _Count = 1
    num_categories: _Count = 1
    class_names: tuple[str, ...] = ()
    iou_types: list[str] = Field(default=[])
    resamples: int = NUM_RESAMPLES
    seed: int = SEED
    # NaN: mAcc of a label that never occurs.
    values: dict[str, Annotated[float, AllowInfNan(True)]] = Field(default={})

    @property
    def images(self) -> ImageSet:
        return ImageSet(self.num_images, self.images_sha256)


def write_outcomes(outcomes: Outcomes, folder: Path) -> dict[str, Sample]:
    """Write ``<folder>/outcomes.npz`` atomically.

    The same outcomes give the same bytes.

    Returns:
        The samples of all metrics, which the file holds too.

    Raises:
        RecordError: The outcomes take more than 1 GiB.
        MimBenchError: The disk refuses.
    """
    path = Path(folder) / OUTCOMES_FILE
    facts, arrays = _encode(outcomes)
    size = sum(array.nbytes for array in arrays.values())
    if size > MOST_BYTES:
        raise RecordError(f'{path}: outcomes of {size >> 20} MiB; at most 1 GiB is kept.')
    samples = make_samples(outcomes)
    images = {'num_images': outcomes.images.num, 'images_sha256': outcomes.images.sha256}
    values = {name: sample.value for name, sample in samples.items()}
    meta = _Facts(**facts, **images, values=values).model_dump(exclude_unset=True)
    meta |= {'version': VERSION, 'resamples': NUM_RESAMPLES, 'seed': SEED}
    if not isinstance(outcomes, Hits):
        arrays['replicates'] = np.stack([sample.replicates for sample in samples.values()])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, meta=np.array(json.dumps(meta)), **arrays)
    write_atomically({path: buffer.getvalue()})
    return samples


def read_outcomes(path: Path) -> Outcomes:
    """Read and validate the outcomes of a run.

    Raises:
        RecordError: Names the file and what is wrong with it.
    """
    with _opened(path) as (facts, archive):
        return _decode(facts, archive)


def read_samples(path: Path) -> dict[str, Sample]:
    """What tests need of a run, by the name of the metric.

    Raises:
        RecordError: Names the file and what is wrong with it.
    """
    with _opened(path) as (facts, archive):
        if facts.kind == 'top1' or (facts.resamples, facts.seed) != (NUM_RESAMPLES, SEED):
            return make_samples(_decode(facts, archive))
        rows = archive['replicates']
        _check(
            rows.shape == (len(facts.values), NUM_RESAMPLES) and rows.dtype == np.float64,
            f'replicates are {rows.dtype} {rows.shape}',
        )
        return {
            name: Sample(facts.images, value, replicates=row)
            for (name, value), row in zip(facts.values.items(), rows, strict=True)
        }


@contextmanager
def _opened(path: Path) -> Iterator[tuple[_Facts, Any]]:
    """The facts and the arrays of a file; whatever is wrong with them becomes one error."""
    try:
        with Path(path).open('rb') as file:
            _check(zipfile.is_zipfile(file), 'not a whole .npz file')
        with np.load(path, allow_pickle=False) as archive:
            size = sum(member.file_size for member in archive.zip.infolist())
            _check(size <= 2 * MOST_BYTES, f'{size >> 20} MiB unpacked')
            yield parse_json(_Facts, str(archive['meta']), str(path)), archive
    except RecordError:
        raise
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RecordError(f'{path}: cannot be read ({error}). Run again.') from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RecordError(f'{path}: no outcomes of a run: {error}. Run again.') from error


def _encode(outcomes: Outcomes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The outcomes as facts and arrays of small types."""
    if isinstance(outcomes, Hits):
        hits = np.packbits(np.stack(list(outcomes.hits.values())), axis=1)
        return {'kind': 'top1', 'metrics': outcomes.metrics}, {'hits': hits}
    if isinstance(outcomes, ClassAreas):
        facts = {'kind': 'miou', 'num_classes': outcomes.num_classes}
        arrays = {name: _smallest(getattr(outcomes, name)) for name in _AREAS}
    else:
        facts = {'kind': 'ap', 'num_categories': outcomes.num_categories}
        facts['iou_types'] = list(outcomes.kinds)
        arrays = {'thresholds': np.asarray(outcomes.thresholds, dtype=np.float64)}
        for kind, found in outcomes.kinds.items():
            arrays |= {f'{kind}.{name}': _smallest(getattr(found, name)) for name in _MATCHES}
    return facts | {'class_names': outcomes.class_names}, arrays


def _smallest(array: np.ndarray) -> np.ndarray:
    """The same numbers in the smallest unsigned type that holds them."""
    return array.astype(np.min_scalar_type(int(array.max(initial=0))))


def _decode(facts: _Facts, arrays: _Arrays) -> Outcomes:
    """The outcomes that facts and arrays describe.

    Raises:
        ValueError: They contradict each other.
        KeyError: An array is missing.
    """
    images, names = facts.images, facts.class_names
    if facts.kind == 'top1':
        packed, shape = arrays['hits'], (len(facts.metrics), -(-images.num // 8))
        _check(
            packed.dtype == np.uint8 and packed.shape == shape,
            f'hits are {packed.dtype} {packed.shape}',
        )
        rows = np.unpackbits(packed, axis=1, count=images.num).astype(bool)
        return Hits(images, dict(zip(facts.metrics, rows, strict=True)))
    classes = facts.num_classes if facts.kind == 'miou' else facts.num_categories
    _check(len(names) in (0, classes), f'{len(names)} class_names of {classes} classes')
    if facts.kind == 'miou':
        columns = _columns(arrays, '', _AREAS, images.num, classes)
        return ClassAreas(images, classes, **columns, class_names=names)
    thresholds = arrays['thresholds']
    _check(
        thresholds.ndim == 1 and 1 <= len(thresholds) <= MOST_THRESHOLDS,
        f'thresholds are {thresholds.shape}',
    )
    kinds = {}
    for kind in facts.iou_types:
        truth = _columns(arrays, f'{kind}.', _MATCHES[-3:], images.num, classes)
        found = _columns(arrays, f'{kind}.', _MATCHES[:-3], images.num, classes)
        is_sorted = (np.diff(found['category'].astype(np.int64)) >= 0).all()
        _check(is_sorted, f'{kind}.category is not sorted')
        # Bits are shifted by thresholds, which a narrower type would cut off.
        words = {name: found[name].astype(np.uint16) for name in ('matched', 'ignored')}
        kinds[kind] = MatchedDetections(**{**truth, **found, **words})
    return Detections(images, classes, thresholds, kinds, names)


def _columns(
    arrays: _Arrays, prefix: str, names: tuple[str, ...], images: int, classes: int
) -> dict[str, np.ndarray]:
    """The columns of a table; those of images and classes stay below their number."""
    columns = {name: arrays[prefix + name] for name in names}
    for name, column in columns.items():
        is_plain = column.ndim == 1 and column.dtype.kind == 'u'
        _check(is_plain, f'{prefix}{name} is {column.dtype} {column.shape}')
        limit = {'image': images, 'category': classes}.get(name.removeprefix('truth_'))
        most = column.max(initial=0)
        _check(limit is None or most < limit, f'{prefix}{name} holds {most}, of {limit}')
    _check(len(set(map(len, columns.values()))) == 1, f'{", ".join(columns)} differ in length')
    return columns


def _check(is_right: bool, problem: str) -> None:
    if not is_right:
        raise ValueError(problem)
