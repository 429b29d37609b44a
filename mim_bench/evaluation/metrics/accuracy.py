"""Top-k accuracy of a classifier, with the images that it was right about."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmpretrain.evaluation.metrics import Accuracy as PretrainAccuracy

from mim_bench.data.imagenet_variants import (
    ALEXNET_ERRORS,
    labels_of_image,
    mean_corruption_error,
    real_labels,
)
from mim_bench.evaluation.outcomes import names_of_samples
from mim_bench.registry import METRICS
from mim_bench.results.outcomes import Hits, number_images

# Scores that are ranked at a time.
_CHUNK_ROWS = 4096


@METRICS.register_module()
class Accuracy(PretrainAccuracy):
    """mmpretrain's Accuracy, which keeps the outcome of each image.

    ``outcomes`` are those of the last evaluation, on the main process. With several thresholds
    there are none, since no metric of a record has one.

    Args:
        *args: Arguments of mmpretrain's class.
        classes: Numbers of the classes that a prediction may have; all if None.
        labels_file: ``real.json`` with several labels an image: one of them is right.
        **kwargs: Keyword arguments of mmpretrain's class.
    """

    outcomes: Hits | None = None

    def __init__(
        self,
        *args: Any,
        classes: Sequence[int] | None = None,
        labels_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.classes = None if classes is None else torch.as_tensor(list(classes))
        self.label_sets = None if labels_file is None else real_labels(Path(labels_file))

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep the scores, the label and the name of each image."""
        start = len(self.results)
        super().process(data_batch, data_samples)
        for result, sample in zip(self.results[start:], data_samples, strict=True):
            result['img_path'] = sample.get('img_path')
            if self.classes is not None:
                whole = result['pred_score']
                # Of a classifier of fewer classes than ImageNet's, those that it has.
                known = self.classes[self.classes < len(whole)]
                result['pred_score'] = torch.full_like(whole, -torch.inf)
                result['pred_score'][known] = whole[known]
            if self.label_sets is not None:
                # With the best ranked of its labels, rank k is right as with all of them.
                labels = torch.as_tensor(labels_of_image(result['img_path'], self.label_sets))
                best = labels[result['pred_score'].cpu()[labels].argmax()]
                result['gt_label'] = best.reshape(1).to(result['gt_label'])

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Compute mmpretrain's metrics; with k classes or fewer, a top-k accuracy is left out."""
        scores = results[0].get('pred_score') if results else None
        asked = self.topk
        if scores is not None:
            self.topk = tuple(k for k in asked if k == 1 or k < len(scores))
        try:
            self.outcomes = self._hits(results) if results and len(self.thrs) == 1 else None
            return super().compute_metrics(results)
        finally:
            self.topk = asked

    def _hits(self, results: list[dict[str, Any]]) -> Hits | None:
        labels = torch.cat([result['gt_label'] for result in results])
        if len(labels) != len(results):
            return None
        if 'pred_score' in results[0]:
            scores = [result['pred_score'] for result in results]
            found = _right_ranks(scores, labels, max(self.topk), self.thrs[0])
            rights = {f'top{k}': found[:, :k].any(dim=1) for k in self.topk}
        else:
            rights = {'top1': torch.cat([result['pred_label'] for result in results]) == labels}
        images, numbers = number_images(names_of_samples([r['img_path'] for r in results]))
        order = numbers.argsort()
        return Hits(images, {name: right.numpy()[order] for name, right in rights.items()})


@METRICS.register_module()
class CorruptionError(BaseMetric):
    """Mean corruption error on ImageNet-C, relative to AlexNet's, and top-1, in percent.

    Of an image only its corruption and whether it was classified right are kept.
    """

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep corruption of each image, and whether it was classified right."""
        for sample in data_samples:
            is_right = int(sample['pred_score'].argmax()) == int(sample['gt_label'])
            self.results.append((sample['corruption'], is_right))

    def compute_metrics(self, results: list[tuple[str, bool]]) -> dict[str, float]:
        """The metrics of all images; a corruption without an image counts as all wrong."""
        counts = {name: [0, 0] for name in ALEXNET_ERRORS}
        for name, is_right in results:
            counts[name][0] += 1
            counts[name][1] += not is_right
        top1 = 100 * sum(is_right for _, is_right in results) / len(results)
        errors = {name: wrong / num if num else 1.0 for name, (num, wrong) in counts.items()}
        return {'mCE': mean_corruption_error(errors), 'accuracy/top1': top1}


def _right_ranks(
    scores: Sequence[torch.Tensor], labels: torch.Tensor, num_ranks: int, threshold: float | None
) -> torch.Tensor:
    """Whether the class of each rank is the label and its score suffices, (N, ranks) bool."""
    pieces = []
    for start in range(0, len(scores), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        best, classes = torch.stack(scores[rows]).topk(num_ranks, dim=1)
        right = classes == labels[rows, None]
        pieces.append(right if threshold is None else right & (best > threshold))
    return torch.cat(pieces)
