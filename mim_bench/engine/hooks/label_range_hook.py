"""The hook that stops a run on a label that the model has no class for."""

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mim_bench.data.label_range import check_classes, without_class
from mim_bench.data.summary import summary_of
from mim_bench.engine.batch import image_names
from mim_bench.recipe.tta import unwrap
from mim_bench.registry import HOOKS

_NONE = torch.zeros(0, dtype=torch.int64)
# Annotations that count more than the class of a whole image.
_BEFORE_CLASS = frozenset(('gt_sem_seg', 'gt_instances'))


@HOOKS.register_module()
class LabelRangeHook(Hook):
    """Check labels on the CPU, before a GPU would die of them with a message about asserts.

    Reads ``gt_label`` (classification), ``gt_sem_seg`` (segmentation, and HTC's stuff maps; 255 =
    ignored) and ``gt_instances.labels`` (detection) of every batch in training and validation;
    nothing where the data set knows the classes of all its images, and the model has them.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._is_known: dict[str, bool] = {}

    def before_train(self, runner: Runner) -> None:
        """Look at the training data as a whole."""
        self._is_known['train'] = _has_known_classes(runner.model, runner.train_dataloader.dataset)

    def before_val(self, runner: Runner) -> None:
        """Look at the validation data as a whole."""
        self._is_known['val'] = _has_known_classes(runner.model, runner.val_dataloader.dataset)

    def _before_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, mode: str = 'train'
    ) -> None:
        """Check a batch; in validation, metrics would drop wrong pixels in silence."""
        if self._is_known.get(mode):
            return
        num_classes = count_classes(runner.model)
        num_stuff = count_stuff(runner.model)
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        if num_classes is None or not isinstance(samples, list | tuple):
            return
        if samples and isinstance(samples[0], list | tuple):  # of test-time augmentations
            samples = samples[0]
            data_batch = {'data_samples': samples}
        _refuse_wrong(_all_labels(samples), num_classes, data_batch)
        if num_stuff:
            _refuse_wrong([_stuff(sample) for sample in samples], num_stuff, data_batch)


def _has_known_classes(model: nn.Module, dataset: Any) -> bool:
    """Whether the classes of all images are known, and those of a model."""
    summary, num_classes = summary_of(dataset), count_classes(model)
    if summary is None or not summary.class_images or num_classes is None:
        return False
    return min(summary.class_images) >= 0 and max(summary.class_images) < num_classes


def count_classes(model: nn.Module) -> int | None:
    """The classes of a classifier, segmentor or detector; None for other models."""
    model = unwrap(model)
    for path in ('decode_head', 'roi_head.bbox_head', 'bbox_head', 'head'):
        head = model
        for name in path.split('.'):
            head = getattr(head, name, None)
        # Cascades have one head a stage.
        head = head[0] if isinstance(head, nn.ModuleList) else head
        if isinstance(getattr(head, 'num_classes', None), int):
            return head.num_classes
    return None


def count_stuff(model: nn.Module) -> int | None:
    """The classes of the stuff branch that an HTC detector has; None for other models."""
    head = getattr(getattr(unwrap(model), 'roi_head', None), 'semantic_head', None)
    return getattr(head, 'num_classes', None)


def _refuse_wrong(labels: list[torch.Tensor], num_classes: int, batch: Any) -> None:
    # One look at the labels of a whole batch; which image it is matters only where one is wrong.
    maps = [part for part in labels if part.ndim > 1]
    if not any(without_class(part, num_classes).size for part in maps or [_joined(labels)]):
        return
    for name, part in zip(image_names(batch), labels, strict=True):
        check_classes(part, num_classes, name)


def _joined(labels: list[torch.Tensor]) -> torch.Tensor:
    """Labels of a batch as one; thousands of single numbers take a fraction of a millisecond."""
    try:
        return torch.cat(labels)
    except RuntimeError:  # no image, or numbers without a dimension
        return torch.cat([_NONE, *(part.flatten() for part in labels)])


def _stuff(sample: Any) -> torch.Tensor:
    if 'gt_sem_seg' not in sample or 'sem_seg' not in sample.gt_sem_seg:
        return _NONE
    return sample.gt_sem_seg.sem_seg  # mmdet's name


def _all_labels(samples: Sequence[Any]) -> list[torch.Tensor]:
    """Labels of each sample; where the first has a class, all have one."""
    if samples and _BEFORE_CLASS.isdisjoint(samples[0].keys()) and 'gt_label' in samples[0]:
        with contextlib.suppress(AttributeError):
            labels = [sample.gt_label for sample in samples]
            if all(type(label) is torch.Tensor for label in labels):
                return labels
    return [_labels(sample) for sample in samples]


def _labels(sample: Any) -> torch.Tensor:
    if 'gt_sem_seg' in sample and 'data' in sample.gt_sem_seg:
        return sample.gt_sem_seg.data
    if 'gt_instances' in sample and 'labels' in sample.gt_instances:
        return torch.as_tensor(sample.gt_instances.labels)
    if 'gt_label' in sample:
        return torch.as_tensor(sample.gt_label)
    return _NONE
