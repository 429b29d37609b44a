"""Mean intersection over union from one confusion matrix that stays on the device."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank, get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mim_bench.evaluation.outcomes import names_of_samples
from mim_bench.registry import METRICS
from mim_bench.results.outcomes import ClassAreas, number_images


@METRICS.register_module()
class IoUMetric(BaseMetric):
    """mIoU, aAcc and mAcc of a segmentation, in percent with two decimals.

    Pixels are counted in an int64 matrix on the device of the predictions; the processes add
    up theirs once, at the end. Of each image only the areas of the classes that occur in it are
    gathered: ``outcomes`` are those of the last evaluation. Samples that a distributed sampler
    repeated to fill up its last round are not counted.

    Args:
        ignore_index: Label of pixels that do not count.
        prefix: Prefix of the names of the metrics.

    Differs from mmseg's metric of that name: sums are exact (mmseg adds up in float32). The
    definition is the same: a label without a class counts as an error of the predicted class,
    and classes that occur neither in truth nor in prediction are left out of the mean.
    """

    def __init__(self, ignore_index: int = 255, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        self.ignore_index = ignore_index
        self._num_samples = 0
        self._counts: torch.Tensor | int = 0
        # The last sample may be a repeated one, which only its place in the data set tells.
        self._last_counts: torch.Tensor | int = 0
        self._areas: list[torch.Tensor] = []
        self._paths: list[str | None] = []
        self.outcomes: ClassAreas | None = None

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Count the pixels of a batch: ``pred_sem_seg`` and ``gt_sem_seg``, (1, H, W) each."""
        num_classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            predicted = sample['pred_sem_seg']['data']
            truth = sample['gt_sem_seg']['data'].to(predicted.device)
            self._counts += self._last_counts
            self._last_counts = pair_counts(predicted, truth, num_classes, self.ignore_index)
            self._areas.append(class_areas(self._last_counts, num_classes))
            self._paths.append(sample.get('img_path'))
            self._num_samples += 1

    def evaluate(self, size: int) -> dict[str, float]:
        """The metrics of all ``size`` samples of all processes, the same on every process."""
        num_classes = len(self.dataset_meta['classes'])
        place = (self._num_samples - 1) * get_world_size() + get_rank()
        counts = self._counts + (self._last_counts if 0 <= place < size else 0)
        if not isinstance(counts, torch.Tensor):
            counts = torch.zeros((num_classes + 2) * num_classes, dtype=torch.int64)
        all_reduce(counts)
        self.outcomes = self._gather_areas(size)
        self._num_samples, self._counts, self._last_counts = 0, 0, 0
        self._areas, self._paths = [], []
        metrics = self.compute_metrics([counts.cpu().unflatten(0, (num_classes + 2, num_classes))])
        return {f'{self.prefix}/{k}' if self.prefix else k: v for k, v in metrics.items()}

    def _gather_areas(self, size: int) -> ClassAreas | None:
        """The areas in all processes' images; None without an image."""
        if not self._areas:
            mine = []
        else:
            areas = torch.stack(self._areas).cpu().numpy()  # (images, 3, classes)
            mine = [
                (path, np.flatnonzero(area.any(axis=0)), area[:, area.any(axis=0)])
                for path, area in zip(self._paths, areas, strict=True)
            ]
        rounds = zip_longest(*all_gather_object(mine))
        samples = [sample for samples in rounds for sample in samples if sample is not None][:size]
        if not samples:
            return None
        paths, categories, areas = zip(*samples, strict=True)
        images, numbers = number_images(names_of_samples(paths))
        names = tuple(map(str, self.dataset_meta['classes']))
        return ClassAreas(
            images,
            len(names),
            np.repeat(numbers, [len(found) for found in categories]),
            np.concatenate(categories),
            *np.concatenate(areas, axis=1),
            class_names=names,
        )

    def compute_metrics(self, results: list[torch.Tensor]) -> dict[str, float]:
        """The metrics of a matrix of :func:`pair_counts`; the classes' own go into the log."""
        counts = results[0][:-1].double()  # without ignored pixels
        correct = counts.diagonal()
        truth = counts[:-1].sum(dim=1)
        # 0 / 0 is NaN: a class that is not there has neither.
        iou = correct / (truth + counts.sum(dim=0) - correct)
        accuracy = correct / truth
        print_log(_class_table(self.dataset_meta['classes'], iou, accuracy), logger='current')
        scores = {
            'aAcc': correct.sum() / truth.sum(),
            'mIoU': iou.nanmean(),
            'mAcc': accuracy.nanmean(),
        }
        return {name: round(100 * float(score), 2) for name, score in scores.items()}


def pair_counts(
    predicted: torch.Tensor, truth: torch.Tensor, num_classes: int, ignore_index: int
) -> torch.Tensor:
    """How often each label was predicted as each class.

    Args:
        predicted: Classes, integers of any shape.
        truth: Labels, alike, on the same device.
        num_classes: N.
        ignore_index: Label of pixels that do not count.

    Returns:
        int64 ((N + 2) * N): flat, a row for each class, then one for other labels, then one for
        ignored pixels; a column for each predicted class.
    """
    # Rows in place of boolean indexing, which would wait for the device.
    rows = truth.long()
    rows = torch.where(
        rows == ignore_index,
        num_classes + 1,
        torch.where((rows < 0) | (rows > num_classes), num_classes, rows),
    )
    pairs = rows * num_classes + predicted
    return torch.bincount(pairs.flatten(), minlength=(num_classes + 2) * num_classes)


def class_areas(counts: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Areas of each class in :func:`pair_counts`: int64 (3, N) in both, predicted, labelled."""
    counts = counts.unflatten(0, (num_classes + 2, num_classes))[:-1]
    labels = counts[:-1]
    return torch.stack([labels.diagonal(), counts.sum(dim=0), labels.sum(dim=1)])


def _class_table(classes: Sequence[str], iou: torch.Tensor, accuracy: torch.Tensor) -> str:
    width = max((len(name) for name in classes), default=0)
    rows = [
        f'{name:<{width}} {100 * i:7.2f} {100 * a:7.2f}'
        for name, i, a in zip(classes, iou.tolist(), accuracy.tolist(), strict=True)
    ]
    return '\n'.join([f'{"class":<{width}} {"IoU":>7} {"Acc":>7}', *rows])
