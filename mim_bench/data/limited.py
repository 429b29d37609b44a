"""A part of any data set of mmengine, for runs that are only to be tried out."""

import random
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS as ROOT_DATASETS

from mim_bench.registry import DATASETS


@DATASETS.register_module(name='Limited')
def limited(*, of: str, number: int, seed: int | None = None, **settings: Any) -> BaseDataset:
    """Build a data set and keep some of its images, in their order.

    Args:
        of: Its class, one of mmengine's ``BaseDataset``.
        number: Images that are kept; all where there are fewer.
        seed: Draws them; None keeps the first.
        **settings: Arguments of the class.
    """
    dataset = ROOT_DATASETS.build(dict(type=of, **settings))
    total = len(dataset)
    kept = range(min(number, total))
    if seed is not None:
        kept = sorted(random.Random(seed).sample(range(total), len(kept)))
    dataset.get_subset_(list(kept))
    if hasattr(dataset, 'summary'):
        dataset.summary.add_unused('images beyond --limit', total - len(kept))
    return dataset
