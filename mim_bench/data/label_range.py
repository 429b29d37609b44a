"""Labels that a model has no class for."""

import numpy as np
import torch

from mim_bench.errors import DataError

IGNORED_LABEL = 255  # of segmentation maps, in mmseg and in ADE20K's recipes


def check_classes(labels: torch.Tensor, num_classes: int, name: str) -> None:
    """Refuse labels without a class.

    Args:
        labels: Integers on the CPU: a map, or classes.
        num_classes: Number of classes of the model.
        name: Name of the image.

    Raises:
        DataError: See above.
    """
    if (found := without_class(labels, num_classes)).size:
        raise DataError(
            f'{name}: its annotation holds the label {found[0]}, but the model has {num_classes} '
            f'classes (0 to {num_classes - 1}). Check the data with `mim-bench data check`, or '
            "correct num_classes, or the dataset's reduce_zero_label."
        )


def without_class(labels: torch.Tensor, num_classes: int) -> np.ndarray:
    """The labels without a class; 255 is none in a map, which has more than one dimension."""
    is_map = labels.ndim > 1
    if is_map and _is_right_map(labels, num_classes):
        return np.zeros(0, int)
    values = labels.long().numpy()
    # A negative number is a large one without its sign: one comparison.
    is_wrong = values.view('uint64') >= num_classes
    if is_map:
        is_wrong &= values != IGNORED_LABEL
    return values[is_wrong] if is_wrong.any() else values.ravel()[:0]


def _is_right_map(labels: torch.Tensor, num_classes: int) -> bool:
    """Whether all labels have a class or are 255, in half the time of finding those that are not.

    Every step of a segmentation waits for this.
    """
    if not labels.numel():
        return True
    low, high = (int(bound) for bound in torch.aminmax(labels))
    if low < 0 or high > IGNORED_LABEL:
        return False
    # One more than 255 is 0 in a byte.
    return (
        high < num_classes
        or int((labels.numpy().astype('uint8') + np.uint8(1)).max()) <= num_classes
    )
