"""Test sets of robustness for classifiers of ImageNet: their layouts, classes and images.

``imagenet_classes.txt`` beside this file has the 1,000 WordNet ids of ImageNet in the order of
their numbers; ``A`` and ``R`` behind an id mark the classes of ImageNet-A and ImageNet-R (timm
1.0.31, timm/data/_info).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mim_bench.data.archives import is_file, is_folder, read_file
from mim_bench.data.listing import class_folders
from mim_bench.errors import DataError

# Top-1 errors of AlexNet by corruption, means of five severities: hendrycks/robustness, as
# published with ImageNet-C (arXiv:1903.12261).
ALEXNET_ERRORS = {
    'gaussian_noise': 0.886428,
    'shot_noise': 0.894468,
    'impulse_noise': 0.922640,
    'defocus_blur': 0.819880,
    'glass_blur': 0.826268,
    'motion_blur': 0.785948,
    'zoom_blur': 0.798360,
    'snow': 0.866816,
    'frost': 0.826572,
    'fog': 0.819324,
    'brightness': 0.564592,
    'contrast': 0.853204,
    'elastic_transform': 0.646056,
    'pixelate': 0.717840,
    'jpeg_compression': 0.606500,
}
SEVERITIES = 5
REAL_LABELS = 'real.json'
_VALIDATION_IMAGE = re.compile(r'ILSVRC2012_val_(\d{8})')


@dataclass(frozen=True)
class Variant:
    """A test set of robustness.

    Attributes:
        folder: Its folder below the folder of all data sets.
        images: Number of images, from its publication.
        mark: Letter of its classes in ``imagenet_classes.txt``; '' for all classes.
        where: Where it is to be had.
    """

    folder: str
    images: int
    mark: str = ''
    where: str = ''

    @property
    def classes(self) -> tuple[int, ...] | None:
        """Numbers of its classes among ImageNet's; None: all."""
        if not self.mark:
            return None
        return tuple(n for n, marks in enumerate(class_marks().values()) if self.mark in marks)


VARIANTS = {
    'imagenet-v2': Variant(
        'imagenetv2-matched-frequency-format-val', 10_000, '', 'github.com/modestyachts/ImageNetV2'
    ),
    'imagenet-a': Variant('imagenet-a', 7_500, 'A', 'github.com/hendrycks/natural-adv-examples'),
    'imagenet-r': Variant('imagenet-r', 30_000, 'R', 'github.com/hendrycks/imagenet-r'),
    'imagenet-sketch': Variant('sketch', 50_889, '', 'github.com/HaohanWang/ImageNet-Sketch'),
    'imagenet-c': Variant(
        'imagenet-c',
        50_000 * SEVERITIES * len(ALEXNET_ERRORS),
        '',
        'github.com/hendrycks/robustness',
    ),
    'imagenet-real': Variant(
        'imagenet', 50_000, '', f'{REAL_LABELS} of github.com/google-research/reassessed-imagenet'
    ),
}


@cache
def class_marks() -> dict[str, str]:
    """Marks of each of ImageNet's classes by its WordNet id, in the order of their numbers."""
    lines = Path(__file__).with_name('imagenet_classes.txt').read_text('utf-8').splitlines()
    return {line.partition(' ')[0]: line.partition(' ')[2] for line in lines}


def class_numbers(names: Sequence[str], num_classes: int, where: str) -> dict[str, int]:
    """The number of each class folder: a number itself, a WordNet id, or one of a whole set.

    Numbers of another classifier than ImageNet's are names, in the order of texts as it was
    trained: 0, 1, 10, 2.

    Args:
        names: Names of the folders, sorted.
        num_classes: Number of classes of the classifier.
        where: For the message.

    Raises:
        DataError: A folder is none of these.
    """
    known = {name: number for number, name in enumerate(class_marks())}
    numbered = sorted(map(str, range(num_classes)))
    if set(names) <= set(numbered):
        is_imagenet = num_classes == len(known)
        return {name: int(name) if is_imagenet else numbered.index(name) for name in names}
    if num_classes == len(known) and all(name in known for name in names):
        return {name: known[name] for name in names}
    if num_classes != len(known) and len(names) == num_classes:
        return {name: number for number, name in enumerate(names)}
    strange = [name for name in names if name not in known][:3]
    raise DataError(
        f'{where}: holds {len(names)} class folders, of which {", ".join(strange) or "none"} '
        f'{"is" if len(strange) < 2 else "are"} no class of a classifier of {num_classes}. Folders '
        "are called by ImageNet's WordNet ids or by the numbers of the classes."
    )


def variant_root(folder: str | Path, variant: str) -> Path:
    """The folder of a test set, given that folder, the one above it, or an archive of either."""
    below = Path(folder) / VARIANTS[variant].folder
    return below if is_folder(below) else Path(folder)


def image_folders(root: Path, variant: str) -> Iterator[tuple[str, Path]]:
    """Folders of class folders, each with what it holds: a corruption, or ''.

    Raises:
        DataError: A folder is missing.
    """
    top = root / 'val' if variant == 'imagenet-real' else root
    where = VARIANTS[variant].where
    if not is_folder(top):
        raise DataError(f'{top}: is neither a folder nor an archive. Get {variant} from {where}.')
    if variant != 'imagenet-c':
        yield '', top
        return
    above = [root, *(root / name for name in class_folders(root))]
    for name in ALEXNET_ERRORS:
        # Each archive of ImageNet-C has a folder of its own, or their contents lie together.
        place = next((folder / name for folder in above if is_folder(folder / name)), root / name)
        severities = [place / str(severity + 1) for severity in range(SEVERITIES)]
        if not all(map(is_folder, severities)):
            raise DataError(
                f'{root}: has no {name}/1 to {name}/{SEVERITIES}. ImageNet-C needs all '
                f'{len(ALEXNET_ERRORS)} corruptions; get it from {where}.'
            )
        yield from ((name, folder) for folder in severities)


def is_there(variant: str, root: Path) -> bool:
    """Whether the folder of a test set is there, and for ReaL its labels."""
    return is_file(root / REAL_LABELS) if variant == 'imagenet-real' else is_folder(root)


def real_labels(path: Path) -> list[list[int]]:
    """The labels of each validation image of ImageNet ("Are we done with ImageNet?").

    Raises:
        DataError: The file is missing or something else.
    """
    try:
        labels = json.loads(read_file(path))
    except (OSError, ValueError) as error:
        raise DataError(
            f'{path}: cannot be read: {error}. Get {VARIANTS["imagenet-real"].where}.'
        ) from error
    if not isinstance(labels, list) or not all(isinstance(entry, list) for entry in labels):
        raise DataError(
            f'{path}: is not a list of lists of labels. Get {VARIANTS["imagenet-real"].where}.'
        )
    return labels


def labels_of_image(path: str, labels: Sequence[Sequence[int]]) -> Sequence[int]:
    """The labels of a validation image, by the number in its name.

    Raises:
        DataError: The name has no number, or there are no labels of it.
    """
    found = _VALIDATION_IMAGE.search(Path(path).name)
    number = int(found[1]) if found else 0
    if not 1 <= number <= len(labels):
        raise DataError(
            f'{path}: is not called ILSVRC2012_val_00000001 to {len(labels):08d}, so its labels '
            'are not known.'
        )
    return labels[number - 1]


def mean_corruption_error(errors: Mapping[str, float]) -> float:
    """The mean over corruptions of the error relative to AlexNet's, in percent.

    Args:
        errors: Top-1 error by corruption, 0 to 1; means of the five severities.
    """
    relative = [errors[name] / ALEXNET_ERRORS[name] for name in ALEXNET_ERRORS]
    return 100 * sum(relative) / len(relative)
