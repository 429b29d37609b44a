"""Classification data in class folders, as mmpretrain loads them, without what is hidden."""

import os
from collections import Counter

import mmpretrain.datasets

from mim_bench.data.archives import is_folder, read_text
from mim_bench.data.listing import class_folders, classes_of_list, list_entry, list_files
from mim_bench.data.summary import Summary, difference, listed
from mim_bench.errors import DataError
from mim_bench.registry import DATASETS


class _Folders(mmpretrain.datasets.CustomDataset):
    """Fills ``summary`` while it loads; ``class_folders`` stand in the order of their numbers."""

    summary: Summary

    def load_data_list(self) -> list[dict]:
        """Paths and labels, as mmpretrain's.

        Raises:
            DataError: There is no folder or no image, the folders are others than the classes
                that were given, or a line of the list is no path with a label.
        """
        self.summary = Summary(self.img_prefix, 0)
        try:
            samples = super().load_data_list()
        except FileNotFoundError as error:
            raise DataError(
                f'{error.filename or self.img_prefix}: there is no such file or folder. Give the '
                'data with --data-root.'
            ) from error
        except ValueError as error:
            raise DataError(
                f'{self.ann_file}: {_wrong_line(self.ann_file)}. Every line is the path of an '
                'image, a space, and the number of its class.'
            ) from error
        self.summary.images += len(samples)
        if self.with_label:
            self.summary.class_images = dict(Counter(sample['gt_label'] for sample in samples))
        if self.ann_file:
            self.summary.where = self.ann_file
            self.summary.names = classes_of_list(
                (os.path.relpath(sample['img_path'], self.img_prefix), sample.get('gt_label'))
                for sample in samples
            )
        self.summary.check_used()
        return samples

    def _find_samples(self) -> list:
        """What lies in the folders; mmpretrain calls it where there is no list."""
        if not is_folder(self.img_prefix):
            raise DataError(f'{self.img_prefix}: is not a folder. Give the data with --data-root.')
        listing = list_files(self.img_prefix, self.extensions)
        self.summary.leave_out(listing.hidden, listing.others, ', '.join(sorted(self.extensions)))
        if not self.with_label:
            return listing.files
        names = class_folders(self.img_prefix)
        self._check_names(names)
        self.folder_to_idx = {name: number for number, name in enumerate(names)}
        self.summary.names = tuple(names)
        loose = [file for file in listing.files if '/' not in file]
        self.summary.images += len(loose)
        self.summary.add_unused(
            'images outside of class folders, of which a pre-training needs one', len(loose)
        )
        by_class: dict[str, list[tuple[str, int]]] = {name: [] for name in names}
        for file in listing.files:
            if '/' in file:
                name = file.partition('/')[0]
                by_class[name].append((file, self.folder_to_idx[name]))
        return [sample for samples in by_class.values() for sample in samples]

    def _check_names(self, names: list[str]) -> None:
        given = self.CLASSES
        if given is None:
            self._metainfo['classes'] = tuple(names)
            return
        # ImageNet's names are words, its folders numbers of WordNet: only their count can differ.
        are_words = given == mmpretrain.datasets.ImageNet.METAINFO['classes']
        if len(given) != len(names) or not (are_words or list(given) == names):
            what = '' if are_words else f' {difference(given, names, "config", "folder")}'
            raise DataError(
                f'{self.img_prefix}: its class folders are not the classes of the config.{what} '
                f'The config has {listed(given)}; the folder has {listed(names)}. Other data than '
                "the config's are trained with `mim-bench train --own-data NAME`, whose classes "
                'are the folders of the training data.'
            )


def _wrong_line(path: str) -> str:
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if list_entry(line) is None:
            return f'line {number} is {line!r}'
    return 'a line cannot be read'


@DATASETS.register_module()
class CustomDataset(_Folders):
    """mmpretrain's CustomDataset; see :mod:`mim_bench.data.folders` for what is left out."""


@DATASETS.register_module()
class ImageNet(_Folders, mmpretrain.datasets.ImageNet):
    """mmpretrain's ImageNet; see :mod:`mim_bench.data.folders` for what is left out."""
