"""Outcomes on disk: ``outcomes.npz`` beside a record.

The file holds the outcomes, and for a segmentation or a detector its metrics on the resamples,
so that a report need not compute them again.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mim_bench.errors import RecordError
from mim_bench.results.atomic import write_atomically
from mim_bench.results.outcomes import Hits, Outcomes
from mim_bench.results.outcomes_arrays import arrays_of, outcomes_from, read_images
from mim_bench.results.statistics.resampling import NUM_RESAMPLES, SEED
from mim_bench.results.statistics.samples import Sample, make_samples

OUTCOMES_FILE = 'outcomes.npz'
VERSION = 1
# Unpacked; 5,000 images of COCO have 8 MiB.
MOST_BYTES = 1 << 30


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
    meta, arrays = arrays_of(outcomes)
    size = sum(array.nbytes for array in arrays.values())
    if size > MOST_BYTES:
        raise RecordError(f'{path}: outcomes of {size >> 20} MiB; at most 1 GiB is kept.')
    samples = make_samples(outcomes)
    meta |= {'version': VERSION, 'resamples': NUM_RESAMPLES, 'seed': SEED}
    meta['values'] = {name: sample.value for name, sample in samples.items()}
    if not isinstance(outcomes, Hits):
        arrays['replicates'] = np.stack([sample.replicates for sample in samples.values()])
    buffer = io.BytesIO()
    # NaN: mAcc of a label that never occurs.
    np.savez_compressed(buffer, meta=np.array(json.dumps(meta)), **arrays)
    write_atomically({path: buffer.getvalue()})
    return samples


def read_outcomes(path: Path) -> Outcomes:
    """Read and validate the outcomes of a run.

    Raises:
        RecordError: Names the file and what is wrong with it.
    """
    with _opened(path) as (meta, archive):
        return outcomes_from(meta, dict(archive))


def read_samples(path: Path) -> dict[str, Sample]:
    """What tests need of a run, by the name of the metric.

    Raises:
        RecordError: Names the file and what is wrong with it.
    """
    with _opened(path) as (meta, archive):
        if meta['kind'] == 'top1':
            return make_samples(outcomes_from(meta, dict(archive)))
        if (meta.get('resamples'), meta.get('seed')) != (NUM_RESAMPLES, SEED):
            return make_samples(outcomes_from(meta, dict(archive)))
        images, values = read_images(meta), meta['values']
        rows = archive['replicates']
        if rows.shape != (len(values), NUM_RESAMPLES) or rows.dtype != np.float64:
            raise ValueError(f'replicates are {rows.dtype} {rows.shape}')
        return {
            name: Sample(images, float(value), replicates=row)
            for (name, value), row in zip(values.items(), rows, strict=True)
        }


@contextmanager
def _opened(path: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    """The facts and the arrays of a file; whatever is wrong with them becomes one error."""
    try:
        with Path(path).open('rb') as file:
            is_archive = zipfile.is_zipfile(file)
        if not is_archive:
            raise ValueError('not a whole .npz file')
        with np.load(path, allow_pickle=False) as archive:
            size = sum(member.file_size for member in archive.zip.infolist())
            if size > 2 * MOST_BYTES:
                raise ValueError(f'{size >> 20} MiB unpacked')
            meta = json.loads(str(archive['meta']))
            if meta['version'] != VERSION:
                raise ValueError(f'version {meta["version"]!r}, this mim_bench reads {VERSION}')
            yield meta, archive
    except RecordError:
        raise
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RecordError(f'{path}: cannot be read ({error}). Run again.') from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RecordError(f'{path}: no outcomes of a run: {error}. Run again.') from error
