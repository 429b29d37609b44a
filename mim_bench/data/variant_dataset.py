"""The test sets of robustness as data sets of mmpretrain."""

from collections import Counter
from pathlib import Path
from typing import Any

import mmpretrain.datasets

from mim_bench.data.imagenet_variants import (
    REAL_LABELS,
    class_numbers,
    image_folders,
    labels_of_image,
    real_labels,
)
from mim_bench.data.listing import class_folders, list_files
from mim_bench.data.summary import Summary
from mim_bench.registry import DATASETS


@DATASETS.register_module()
class ImageNetVariant(mmpretrain.datasets.CustomDataset):
    """A test set of robustness, with the numbers that a classifier of ImageNet gives its classes.

    Each sample of ImageNet-C has its ``corruption``. Images without a label in ``real.json`` are
    left out.

    Args:
        variant: A name of :data:`VARIANTS`.
        num_classes: Number of classes of the classifier.
        data_root: Folder or archive of the set; of ImageNet, for ``imagenet-real``.
        **kwargs: Keyword arguments of mmpretrain's ``CustomDataset``.

    Raises:
        DataError: The folder holds something else.
    """

    summary: Summary

    def __init__(self, *, variant: str, num_classes: int, data_root: str, **kwargs: Any) -> None:
        self.variant, self.num_classes = variant, num_classes
        super().__init__(data_root=data_root, **kwargs)
        if variant == 'imagenet-real':  # it is part of what the protocol's hash covers
            self.ann_file = str(Path(self.data_root) / REAL_LABELS)

    def load_data_list(self) -> list[dict]:
        """Paths and labels."""
        root = Path(self.data_root)
        samples = []
        for corruption, folder in image_folders(root, self.variant):
            numbers = class_numbers(class_folders(folder), self.num_classes, str(folder))
            for file in list_files(folder, self.extensions).files:
                name, slash, _ = file.partition('/')
                if slash:
                    sample = {'img_path': str(folder / file), 'gt_label': numbers[name]}
                    samples.append(sample | ({'corruption': corruption} if corruption else {}))
        self.summary = Summary(str(root), len(samples))
        if self.variant == 'imagenet-real':
            labels = real_labels(root / REAL_LABELS)
            known = [s for s in samples if labels_of_image(s['img_path'], labels)]
            self.summary.add_unused('images without a label', len(samples) - len(known))
            samples = known
        self.summary.class_images = dict(Counter(sample['gt_label'] for sample in samples))
        self.summary.check_used()
        return samples
