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
from mim_bench.files.atomic import write_atomically
from mim_bench.files.validation import Model, parse_json
from mim_bench.results.outcomes import (
    ClassAreas,
    Detections,
    Hits,
    ImageSet,
    MatchedDetections,
    Outcomes,
)
from mim_bench.results.record import Metric
from mim_bench.results.statistics import NUM_RESAMPLES, SEED, Sample, make_samples

OUTCOMES_FILE = 'outcomes.npz'
VERSION = 1
# How far a value of outcomes may lie from the recorded one: mmdet rounds AP to 0.1 points, others
# less, and sums in float32 differ by less than the rest of it.
_LARGEST_DIFFERENCE = 0.051
_AREAS = ('image', 'category', 'intersection', 'predicted', 'labelled')
_MATCHES = tuple(field.name for field in fields(MatchedDetections))
_Count = Annotated[int, Field(ge=1, lt=2**32)]


class _Facts(Model):
    """What the file says beside its arrays."""

    version: Literal[VERSION] = VERSION
    kind: Literal['top1', 'miou', 'ap']
    num_images: _Count
    images_sha256: str
    metrics: list[str] = Field(default=[])
    num_classes: _Count = 1
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
    """Write ``<folder>/outcomes.npz`` atomically; the same outcomes give the same bytes.

    Returns:
        The samples of all metrics, which the file holds too.

    Raises:
        MimBenchError: The disk refuses.
    """
    images, samples = outcomes.images, make_samples(outcomes)
    facts: dict[str, Any] = {'num_images': images.num, 'images_sha256': images.sha256}
    if isinstance(outcomes, Hits):
        facts |= {'kind': 'top1', 'metrics': outcomes.metrics}
        arrays = {'hits': np.packbits(np.stack(list(outcomes.hits.values())), axis=1)}
    else:
        arrays = {'replicates': np.stack([sample.replicates for sample in samples.values()])}
        facts |= {'class_names': outcomes.class_names}
    if isinstance(outcomes, ClassAreas):
        facts |= {'kind': 'miou', 'num_classes': outcomes.num_classes}
        arrays |= {name: _smallest(getattr(outcomes, name)) for name in _AREAS}
    if isinstance(outcomes, Detections):
        facts |= {'kind': 'ap', 'num_classes': outcomes.num_categories}
        facts |= {'iou_types': list(outcomes.kinds)}
        arrays |= {'thresholds': np.asarray(outcomes.thresholds, dtype=np.float64)}
        for kind, found in outcomes.kinds.items():
            arrays |= {f'{kind}.{name}': _smallest(getattr(found, name)) for name in _MATCHES}
    facts['values'] = {name: sample.value for name, sample in samples.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, meta=np.array(json.dumps(_Facts(**facts).model_dump())), **arrays)
    write_atomically({Path(folder) / OUTCOMES_FILE: buffer.getvalue()})
    return samples


def _smallest(array: np.ndarray) -> np.ndarray:
    """The same numbers in the smallest unsigned type that holds them."""
    return array.astype(np.min_scalar_type(int(array.max(initial=0))))


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
        rows = zip(facts.values.items(), archive['replicates'], strict=True)
        return {name: Sample(facts.images, value, replicates=row) for (name, value), row in rows}


def read_values(path: Path) -> dict[str, float]:
    """The metrics that the outcomes of a run give, in percent, without their samples.

    Raises:
        RecordError: Names the file and what is wrong with it.
    """
    with _opened(path) as (facts, archive):
        return _decode(facts, archive).values() if facts.kind == 'top1' else facts.values


def contradiction(values: Mapping[str, float], metrics: Mapping[str, Metric]) -> str | None:
    """The first metric of a record that its outcomes give otherwise, by more than rounding."""
    for name in filter(metrics.get, values):
        found, stated = values[name], metrics[name].value
        # NaN: nothing to measure, which a record holds no value for.
        if abs(found - stated) > _LARGEST_DIFFERENCE:
            return f'the outcomes give {name} = {found:.3f}, the record {stated:.3f}'
    return None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[_Facts, Any]]:
    """The facts and the arrays of a file; whatever is wrong with them becomes one error."""
    try:
        if not zipfile.is_zipfile(path):  # numpy would advise to unpickle it
            raise ValueError('not a whole .npz file')
        with np.load(path, allow_pickle=False) as archive:
            yield parse_json(_Facts, str(archive['meta']), str(path)), archive
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RecordError(f'{path}: cannot be read ({error}). Run again.') from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RecordError(f'{path}: no outcomes of a run: {error}. Run again.') from error


def _decode(facts: _Facts, archive: Any) -> Outcomes:
    """The outcomes that facts and arrays describe.

    Raises:
        ValueError: Their numbers of images, metrics or classes do not agree.
        KeyError: An array is missing.
    """
    images, num, names = facts.images, facts.num_classes, facts.class_names
    if facts.kind == 'top1':
        packed = archive['hits']
        if packed.shape[-1] != -(-images.num // 8):
            raise ValueError(f'hits are {packed.shape} for {images.num} images')
        rows = np.unpackbits(packed, axis=1, count=images.num).astype(bool)
        return Hits(images, dict(zip(facts.metrics, rows, strict=True)))
    if facts.kind == 'miou':
        return ClassAreas(images, num, **_columns(facts, archive, '', _AREAS), class_names=names)
    kinds = {
        kind: MatchedDetections(**_columns(facts, archive, f'{kind}.', _MATCHES))
        for kind in facts.iou_types
    }
    return Detections(images, num, archive['thresholds'], kinds, names)


def _columns(
    facts: _Facts, archive: Any, prefix: str, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """The columns of a table; those of images and classes stay below their number."""
    columns = {name: archive[prefix + name] for name in names}
    limits = {'image': facts.num_images, 'category': facts.num_classes}
    for name, column in columns.items():
        limit, most = limits.get(name.removeprefix('truth_')), column.max(initial=0)
        if limit is not None and most >= limit:
            raise ValueError(f'{prefix}{name} holds {most}, of {limit}')
        if name in ('matched', 'ignored'):  # shifted by thresholds, too far for a narrower type
            columns[name] = column.astype(np.uint16)
    return columns
