"""Number and names of the images in a batch of mmpretrain, mmseg or mmdet."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mim_bench.data.masked_samples import MaskedSamples


def num_samples(batch: Any) -> int:
    """Number of images in a batch, as it comes from the loader.

    Args:
        batch: Mapping with ``inputs`` and, in most cases, ``data_samples``.

    Returns:
        The number of data samples where there are any (multi-view batches hold several
        tensors an image), else that of the inputs; 0 for a batch of another kind.
    """
    for key in ('data_samples', 'inputs'):
        value = batch.get(key) if isinstance(batch, Mapping) else None
        is_tensor = isinstance(value, torch.Tensor) and value.ndim
        if isinstance(value, Sequence | MaskedSamples) or is_tensor:
            return len(value)
    return 0


def image_names(batch: Any) -> list[str]:
    """A name for each image of a batch: its path, else its index in the data set.

    Args:
        batch: Mapping with ``inputs`` and ``data_samples``, as it comes from the loader.
    """
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else None
    if not isinstance(samples, Sequence | MaskedSamples):
        return [f'image {i} of the batch' for i in range(num_samples(batch))]
    return [_image_name(sample, position) for position, sample in enumerate(samples)]


def _image_name(sample: Any, position: int) -> str:
    meta = getattr(sample, 'metainfo', {})
    if meta.get('img_path'):
        return str(meta['img_path'])
    for key in ('sample_idx', 'img_id'):
        if meta.get(key) is not None:
            return f'{key} {meta[key]}'
    return f'image {position} of the batch'
