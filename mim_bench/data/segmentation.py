"""ADE20K's layout as mmseg loads it: every image with its label map, labels that are labels."""

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mim_bench.data.archives import file_facts, is_file, is_folder, read_text
from mim_bench.data.image_file import read_bytes, read_label_map
from mim_bench.data.kept_list import kept_lines
from mim_bench.data.label_range import IGNORED_LABEL
from mim_bench.data.listing import list_files
from mim_bench.data.summary import Summary
from mim_bench.errors import ConfigError, DataError, first_of
from mim_bench.registry import DATASETS, TRANSFORMS

CLASSES_FILE = 'classes.txt'
_NAMES_SHOWN = 3
_THREADS = 16
# Fewer label maps are read in about a second, so what they hold is not kept.
_KEPT_FROM = 1000


def read_class_names(root: Path) -> list[str]:
    """Names of the classes in ``classes.txt``, one a line; the first is label 1.

    Raises:
        DataError: It is no text, or a name stands twice.
    """
    path = root / CLASSES_FILE
    names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise DataError(
            f'{path}: {twice[0]!r} stands on several lines. Give each class a name of its own.'
        )
    return names


def labels_in(folder: Path, *, skips_bad: bool = False) -> list[int]:
    """The labels in the maps of a folder, sorted; kept on disk until a file changes.

    Args:
        folder: All its PNG files are read.
        skips_bad: Leave out files that cannot be read.

    Raises:
        DataError: A file cannot be read, or is no label map of this layout.
    """

    def read(file: str) -> set[int]:
        try:
            labels = read_label_map(folder / file)
            check_labels(labels, str(folder / file), counts_from_one=True)
            return set(np.flatnonzero(np.bincount(labels.ravel())).tolist())
        except DataError:
            if skips_bad:
                return set()
            raise

    def facts(file: str) -> str:
        with suppress(OSError):  # of a broken link
            return f'{file} {file_facts(folder / file)}\n'
        return f'{file}\n'

    files = list_files(folder, ('.png',)).files
    with ThreadPoolExecutor(_THREADS) as pool:

        def read_all() -> list[str]:
            return [str(label) for label in sorted(set().union(*pool.map(read, files)))]

        if len(files) < _KEPT_FROM:
            lines = read_all()
        else:
            content = ''.join(pool.map(facts, files)).encode(errors='surrogateescape')
            stamp = [hashlib.sha256(content).hexdigest(), f'skips bad: {skips_bad}']
            lines = kept_lines(folder, 'labels', stamp, read_all)
    return [int(line) for line in lines]


def label_fault(labels: Collection[int], num_classes: int, *, is_learned: bool) -> str | None:
    """What the labels of a folder say against a number of classes; None if nothing.

    Args:
        labels: See :func:`labels_in`.
        num_classes: The labels of the classes are 1 to this.
        is_learned: Whether the maps are those of the training.
    """
    highest = max(labels, default=0)
    if highest == 0:
        return 'its label maps hold no label: every pixel is 0, which is unlabelled.'
    if highest > num_classes:
        return (
            f'its highest label is {highest}, the number of classes {num_classes} (by '
            f'{CLASSES_FILE}, else by the training). The first class is label 1, and 0 is '
            'unlabelled. Correct the labels or the names.'
        )
    if is_learned and highest == num_classes - 1:
        return (
            f'its highest label is {highest}, and {CLASSES_FILE} names {num_classes} classes, as '
            'where labels count from 0. The first class is label 1, and 0 is unlabelled: add 1 to '
            'labels that count from 0, or remove the last name if the training does not show it.'
        )
    return None


def absent_classes(labels: Collection[int], names: Sequence[str]) -> list[str]:
    """Names of the classes that no label map of a folder shows; the first is label 1."""
    return [name for label, name in enumerate(names, start=1) if label not in labels]


@DATASETS.register_module(name='ADE20KDataset')
def ade20k_dataset(**settings: Any) -> Any:
    """Mmseg's ADE20KDataset, whose images all have a label map, with a ``summary``.

    Args:
        **settings: Arguments of mmseg's class.

    Raises:
        DataError: A folder or a label map is missing, or there is no image.
    """
    return _dataset_class('ADE20KDataset')(**settings)


@DATASETS.register_module(name='BaseSegDataset')
def base_seg_dataset(**settings: Any) -> Any:
    """Mmseg's BaseSegDataset; see :func:`ade20k_dataset`."""
    return _dataset_class('BaseSegDataset')(**settings)


@TRANSFORMS.register_module(name='LoadSegmentation')
def load_segmentation(**settings: Any) -> Any:
    """Mmseg's LoadAnnotations, which refuses what is no label map of its image.

    Args:
        **settings: Arguments of mmseg's class.
    """
    return _loader_class()(**settings)


@cache
def _dataset_class(name: str) -> type:
    import mmseg.datasets

    class Segmentation(getattr(mmseg.datasets, name)):
        """See :func:`ade20k_dataset`."""

        summary: Summary

        def load_data_list(self) -> list[dict]:
            """Images and their label maps."""
            images = Path(self.data_prefix['img_path'])
            if not is_folder(images):
                raise DataError(f'{images}: is not a folder. Give the data with --data-root.')
            listing = list_files(images, (self.img_suffix.lower(),))
            names = self._listed() if self.ann_file else listing.files
            kept = [self._sample(name) for name in names]
            classes = self.metainfo.get('classes')
            self.summary = Summary(str(images), len(kept), names=classes and tuple(classes))
            self.summary.leave_out(listing.hidden, listing.others, self.img_suffix)
            self.summary.check_used()
            missing = [
                sample['seg_map_path']
                for sample in kept
                if 'seg_map_path' in sample and not is_file(sample['seg_map_path'])
            ]
            if missing:
                raise DataError(
                    f'{images}: {len(missing)} of {len(kept)} images have no label map: '
                    f'{first_of(missing, _NAMES_SHOWN)} are not there. Add them or take the '
                    'images away.'
                )
            return kept

        def _listed(self) -> list[str]:
            """The images that ``ann_file`` names, without ending, one a line."""
            read_bytes(self.ann_file)  # refuses what is not there, or empty
            lines = read_text(self.ann_file).splitlines()
            return [line.strip() + self.img_suffix for line in lines if line.strip()]

        def _sample(self, name: str) -> dict[str, Any]:
            """An image by its name below the folder, and its label map."""
            sample = {'img_path': os.path.join(self.data_prefix['img_path'], name)}
            if (maps := self.data_prefix.get('seg_map_path')) is not None:
                stem = name[: -len(self.img_suffix)]
                sample['seg_map_path'] = os.path.join(maps, stem + self.seg_map_suffix)
            return sample | {
                'label_map': self.label_map,
                'reduce_zero_label': self.reduce_zero_label,
                'seg_fields': [],
            }

    Segmentation.__name__ = name
    return Segmentation


@cache
def _loader_class() -> type:
    from mmseg.datasets.transforms import LoadAnnotations

    class LoadSegmentation(LoadAnnotations):
        """See :func:`load_segmentation`."""

        def _load_seg_map(self, results: dict) -> None:
            path, counts_from_one = results['seg_map_path'], results['reduce_zero_label']
            if self.reduce_zero_label not in (None, counts_from_one):
                raise ConfigError(
                    f'reduce_zero_label is {self.reduce_zero_label} in the pipeline and '
                    f'{counts_from_one} in the data set. Make them equal.'
                )
            labels = read_label_map(path, self.imdecode_backend)
            check_labels(labels, path, counts_from_one=counts_from_one)
            if labels.shape != results['ori_shape']:
                (height, width), (rows, columns) = labels.shape, results['ori_shape']
                raise DataError(
                    f'{path}: is {width} x {height} pixels (width x height), its image '
                    f'{columns} x {rows}. Give the label map that belongs to the image.'
                )
            results['gt_seg_map'] = _numbered(labels, results.get('label_map'), counts_from_one)
            results['seg_fields'].append('gt_seg_map')

    return LoadSegmentation


def _numbered(labels: np.ndarray, label_map: dict | None, counts_from_one: bool) -> np.ndarray:
    """Labels of a file as numbers of classes, uint8; 255 does not count."""
    table = np.arange(IGNORED_LABEL + 1, dtype=np.uint8)
    if counts_from_one:
        table = np.append(np.uint8(IGNORED_LABEL), table[:-1])
    if label_map:
        mapping = np.arange(IGNORED_LABEL + 1, dtype=np.uint8)
        mapping[list(label_map)] = list(label_map.values())
        table = mapping[table]
    return table[labels]


def check_labels(labels: np.ndarray, path: str, *, counts_from_one: bool) -> None:
    """Refuse labels that mmseg would read as others.

    Args:
        labels: (height, width) as they lie in the file.
        path: For the message.
        counts_from_one: Whether 0 is unlabelled and the first class is 1 (``reduce_zero_label``).

    Raises:
        DataError: A label is over 255, or is 255 where unlabelled pixels are 0.
    """
    highest = int(labels.max())
    if highest > IGNORED_LABEL:
        raise DataError(
            f'{path}: holds the label {highest}; labels are 0 to 255. Save it as 8-bit PNG with '
            'the numbers of the classes.'
        )
    if counts_from_one and highest == IGNORED_LABEL:
        raise DataError(
            f'{path}: holds the label 255. In this layout 0 is unlabelled and classes count from '
            '1, so 255 belongs to a map of another kind: one that counts from 0, or a mask of 0 '
            'and 255. Save it with 0 for unlabelled pixels, and 1, 2, … for the classes.'
        )
