"""Mean intersection over union from one confusion matrix that stays on the device."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mim_bench.registry import METRICS


@METRICS.register_module()
class IoUMetric(BaseMetric):
    """mIoU, aAcc and mAcc of a segmentation, in percent with two decimals.

    Pixels are counted in an int64 matrix on the device of the predictions; the processes add
    up theirs once, at the end, and nothing is gathered image by image. Samples that a
    distributed sampler repeated to fill up its last round are not counted.

    Args:
        ignore_index: Label of pixels that do not count.
        prefix: Of the names of the metrics.

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

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Count the pixels of a batch.

        Args:
            data_batch: Not used.
            data_samples: With ``pred_sem_seg`` and ``gt_sem_seg``, (1, H, W) each.
        """
        for sample in data_samples:
            predicted = sample['pred_sem_seg']['data']
            truth = sample['gt_sem_seg']['data'].to(predicted.device)
            self._counts += self._last_counts
            self._last_counts = pair_counts(
                predicted, truth, len(self.dataset_meta['classes']), self.ignore_index
            )
            self._num_samples += 1

    def evaluate(self, size: int) -> dict[str, float]:
        """The metrics of all processes' samples, the same on every process.

        Args:
            size: Samples of the data set.
        """
        num_classes = len(self.dataset_meta['classes'])
        place = (self._num_samples - 1) * get_world_size() + get_rank()
        counts = self._counts + (self._last_counts if 0 <= place < size else 0)
        if not isinstance(counts, torch.Tensor):
            counts = torch.zeros((num_classes + 2) * num_classes, dtype=torch.int64)
        all_reduce(counts)
        self._num_samples, self._counts, self._last_counts = 0, 0, 0
        metrics = self.compute_metrics([counts.cpu().unflatten(0, (num_classes + 2, num_classes))])
        return {f'{self.prefix}/{k}' if self.prefix else k: v for k, v in metrics.items()}

    def compute_metrics(self, results: list[torch.Tensor]) -> dict[str, float]:
        """The metrics of a confusion matrix; the classes' own go into the log.

        Args:
            results: One matrix of :func:`pair_counts`, (classes + 2, classes).
        """
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
        truth: Labels, of the same shape and on the same device.
        num_classes: N.
        ignore_index: Label of pixels that do not count.

    Returns:
        int64 ((N + 2) * N): the flat matrix with a row for each class, then one for other
        labels, then one for ignored pixels; a column for each predicted class.
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


def _class_table(classes: Sequence[str], iou: torch.Tensor, accuracy: torch.Tensor) -> str:
    width = max((len(name) for name in classes), default=0)
    rows = [
        f'{name:<{width}} {100 * i:7.2f} {100 * a:7.2f}'
        for name, i, a in zip(classes, iou.tolist(), accuracy.tolist(), strict=True)
    ]
    return '\n'.join([f'{"class":<{width}} {"IoU":>7} {"Acc":>7}', *rows])
