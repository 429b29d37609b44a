"""The first steps of a training pipeline as one, with the bytes that Pillow gives, in less time."""

import logging
from typing import Any

from mmengine.logging import print_log

# Values of the key ``loading`` of a config. The pixels are the same; 'plain' runs each transform.
LOADING = ('fused', 'plain')


def fuse_pipeline(dataset: Any) -> None:
    """Fuse the first steps of a built data set's pipeline in place, where that can be.

    Without a numba that runs here, a warning is logged and the steps stay as they are.
    """
    while not hasattr(dataset, 'pipeline') and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    # A crop of another library's is not resized by Pillow; numba takes time to import.
    if not any(hasattr(step, 'rand_crop_params') for step in transforms):
        return
    try:
        from mim_bench.data.fused.pipeline import fuse
    except ImportError as error:
        print_log(
            f'numba cannot be imported ({error}). Training images are loaded step by step, with '
            'the same pixels and slower. Install a numba that suits your NumPy.',
            logger='current',
            level=logging.WARNING,
        )
        return
    transforms[:] = fuse(transforms)
