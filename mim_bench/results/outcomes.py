"""What a model did on each image of an evaluation: enough to measure it again on a resample.

Three kinds: :class:`Hits` of a classifier, :class:`ClassAreas` of a segmentation and
:class:`Detections` of a detector. Images are numbered by the order of their names, so that two
runs on the same images have them in the same order, whatever order they were evaluated in.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mim_bench.errors import RecordError

# A bit of a 16-bit word each.
MOST_THRESHOLDS = 16


@dataclass(frozen=True)
class ImageSet:
    """The images of an evaluation: how many, and a hash of their sorted names."""

    num: int
    sha256: str


def number_images(names: Sequence[str]) -> tuple[ImageSet, np.ndarray]:
    """Number images by the order of their names.

    What all names have in common up to a slash is left out, so that it does not matter where
    the data lie. Equal names are told apart by the order in which they come.

    Args:
        names: Paths or other names, in the order of the evaluation.

    Returns:
        The set, and (N,) int64: the number of each image.

    Raises:
        RecordError: There are no images.
    """
    if not names:
        raise RecordError('Outcomes of no image at all. Evaluate at least one.')
    # As far as all names agree, and no further than to a slash.
    start = os.path.commonprefix(names).rfind('/') + 1  # noqa: RUF071 - by characters
    seen: Counter[str] = Counter()
    keys = []
    for name in names:
        keys.append((name[start:], seen[name]))
        seen[name] += 1
    order = sorted(range(len(keys)), key=keys.__getitem__)
    text = '\n'.join(f'{name}\t{repeat}' for name, repeat in (keys[i] for i in order))
    numbers = np.empty(len(keys), dtype=np.int64)
    numbers[order] = np.arange(len(keys))
    digest = hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()
    return ImageSet(len(keys), digest), numbers


@dataclass(frozen=True)
class Hits:
    """Whether each image was classified right.

    Attributes:
        images: N of them.
        hits: By the name of a record's metric, such as ``top1``: (N,) bool by number of image.
    """

    images: ImageSet
    hits: dict[str, np.ndarray]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that follow from the outcomes."""
        return list(self.hits)


@dataclass(frozen=True)
class ClassAreas:
    """Pixels of each class in each image, where the class occurs in truth or prediction.

    Pixels with a label to ignore are left out; those with a label of no class count as
    ``predicted`` only.

    Attributes:
        images: N of them.
        num_classes: C.
        image: (K,) numbers of images.
        category: (K,) classes, 0 to C - 1; with the image each pair stands once.
        intersection: (K,) pixels that have the class in both.
        predicted: (K,) pixels that were predicted as the class.
        labelled: (K,) pixels whose label is the class.
        class_names: C of them; empty where nobody told.
    """

    images: ImageSet
    num_classes: int
    image: np.ndarray
    category: np.ndarray
    intersection: np.ndarray
    predicted: np.ndarray
    labelled: np.ndarray
    class_names: tuple[str, ...] = ()

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that follow from the outcomes."""
        return ['mIoU', 'aAcc', 'mAcc']


@dataclass(frozen=True)
class MatchedDetections:
    """The detections of one IoU type (boxes or masks), each with what it was matched with.

    Detections are sorted by category and, in it, from the highest score to the lowest; their
    order is all that average precision needs of the scores. The lowest ones of a category that
    were matched with nothing cannot change it and may be left out.

    Attributes:
        image: (D,) numbers of images.
        category: (D,) 0 to K - 1, ascending.
        matched: (D,) uint16; bit t is set where the detection is right at threshold t.
        ignored: (D,) uint16; bit t is set where it does not count at threshold t.
        truth_image: (G,) numbers of images.
        truth_category: (G,) 0 to K - 1; with the image each pair stands once.
        truth_count: (G,) objects of that category in that image that count.
    """

    image: np.ndarray
    category: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    truth_image: np.ndarray
    truth_category: np.ndarray
    truth_count: np.ndarray


@dataclass(frozen=True)
class Detections:
    """Matches of a detector by COCO's rules: objects of every size, 100 detections an image.

    Attributes:
        images: N of them.
        num_categories: K.
        thresholds: (T,) of IoU, ascending, at most 16.
        kinds: By IoU type, ``bbox`` or ``segm``.
        class_names: K of them; empty where nobody told.
    """

    images: ImageSet
    num_categories: int
    thresholds: np.ndarray
    kinds: dict[str, MatchedDetections]
    class_names: tuple[str, ...] = ()

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that follow from the outcomes."""
        return [f'{kind}_mAP{suffix}' for kind in self.kinds for suffix in self.suffixes]

    @cached_property
    def suffixes(self) -> dict[str, list[int]]:
        """Which thresholds each metric is the mean of, by the end of its name."""
        single = {'_50': 0.5, '_75': 0.75}
        found = {'': list(range(len(self.thresholds)))}
        for suffix, value in single.items():
            at = np.flatnonzero(np.isclose(self.thresholds, value, rtol=0, atol=1e-9))
            found |= {suffix: [int(at[0])]} if len(at) else {}
        return found


Outcomes = Hits | ClassAreas | Detections
