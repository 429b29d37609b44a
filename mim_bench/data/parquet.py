"""Images with class labels in Hugging Face's parquet layout, read like class folders.

``ROOT/data/train-*.parquet`` and ``ROOT/data/validation-*.parquet`` (or without ``data``) are read
as ``ROOT/train/<class>/<file>`` and ``ROOT/val/<class>/<file>``. The library ``datasets`` writes
them to its cache folder once, as Arrow files that are mapped into memory. Nothing is downloaded.
"""

import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from glob import escape, glob
from pathlib import Path
from typing import Any

from mim_bench.data.containers import Container, sorted_lines
from mim_bench.data.kept_list import kept_lines
from mim_bench.errors import DataError, StackError

# Beginnings of the files' names by the folder that stands for them.
_BEGINNINGS = {'train': ('train',), 'val': ('validation', 'val')}
# The release of ImageNet adds the class folder to the names of files: n01440764_9_n01440764.JPEG.
_WORDNET = re.compile(r'_(n\d{8})(?=\.\w+$)')
_NOT_IN_NAMES = re.compile(r'[/\t\r\n]')


@lru_cache(maxsize=256)
def parquet_files(root: str, split: str) -> tuple[str, ...]:
    """The files of a split, sorted; none where there is a folder of that name.

    Args:
        root: The folder of the data set.
        split: ``'train'`` or ``'val'``.
    """
    if os.path.isdir(os.path.join(root, split)):
        return ()
    for folder in (os.path.join(root, 'data'), root):
        for beginning in _BEGINNINGS[split]:
            if found := glob(f'{escape(folder)}/{beginning}-*.parquet'):
                return tuple(sorted(found))
    return ()


class ParquetSplit(Container):
    """One split, as class folders in the order of the numbers of the classes.

    A class folder has the name of the ``ClassLabel``, or in the release of ImageNet the WordNet
    number that the names of its files end in.

    Args:
        path: ``ROOT/train`` or ``ROOT/val``.

    Raises:
        StackError: The library ``datasets`` is not installed.
        DataError: The files are damaged, or lack an image, a label or the names of the classes.
    """

    def __init__(self, path: str) -> None:
        root, split = os.path.split(path)
        self.files = parquet_files(root, split)
        facts = [os.stat(file) for file in self.files]
        self.rows = _opened_rows(path, self.files)
        stamp = [
            f'{fact.st_size} {fact.st_mtime_ns} {os.path.basename(file)}'
            for file, fact in zip(self.files, facts, strict=True)
        ]
        # The last lines are the class folders, by number.
        lines = kept_lines(Path(path), 'index', stamp, self._lines)
        num_classes = len(self.rows.features['label'].names)
        folders = lines[len(lines) - num_classes :]
        changed_ns = max(fact.st_mtime_ns for fact in facts)
        super().__init__(path, lines[: len(lines) - num_classes], changed_ns, folders)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        row, _ = self._place(name)
        return self.rows.data.fast_slice(row, 1).column('image')[0].as_py()['bytes']

    def _lines(self) -> list[str]:
        import pyarrow.compute

        images = self.rows.data.column('image')
        sizes = pyarrow.compute.binary_length(pyarrow.compute.struct_field(images, 'bytes'))
        names = pyarrow.compute.struct_field(images, 'path').to_pylist()
        labels = self.rows.data.column('label').to_pylist()
        classes = self.rows.features['label'].names
        self._check_rows(sizes.to_pylist(), labels, len(classes))
        names = [os.path.basename(name or f'{row:08d}.jpg') for row, name in enumerate(names)]
        names, classes = ([_NOT_IN_NAMES.sub('_', n) for n in each] for each in (names, classes))
        if numbers := _wordnet_numbers(names, labels):
            classes = [numbers.get(label, name) for label, name in enumerate(classes)]
            names = [_WORDNET.sub('', name) for name in names]
        if len(set(classes)) < len(classes):
            twice = next(name for name in classes if classes.count(name) > 1)
            raise DataError(f'{self.files[0]}: two classes are named {twice!r}. Rename one.')
        files = zip(_unique(names, labels, classes), sizes.to_pylist(), strict=True)
        rows = [(name, row, size) for row, (name, size) in enumerate(files)]
        return sorted_lines(rows) + classes

    def _check_rows(
        self, sizes: Sequence[int | None], labels: Sequence[int | None], num_classes: int
    ) -> None:
        for row, (size, label) in enumerate(zip(sizes, labels, strict=True)):
            if not size:
                what = 'has no bytes in the column image'
            elif label is None or not 0 <= label < num_classes:
                what = f'has the label {label}; there are the classes 0 to {num_classes - 1}'
            else:
                continue
            raise DataError(
                f'{self.files[0]} and those after it: row {row} {what}. Correct or remove it.'
            )


def _opened_rows(path: str, files: Sequence[str]) -> Any:
    """The rows of all files as a ``datasets.Dataset`` with images that are not decoded."""
    try:
        import datasets
    except ImportError as error:
        raise StackError(
            f'{path}: parquet files are read by the library datasets, which is not installed. Run '
            "`pip install 'mim-bench[parquet]'`."
        ) from error
    try:
        rows = datasets.load_dataset('parquet', data_files=list(files), split='train')
    except Exception as error:  # readers of parquet answer damage with many exceptions
        reason = ' '.join(str(error.__cause__ or error).split())
        raise DataError(
            f'{files[0]} and those after it: cannot be read ({reason}). Fetch them again.'
        ) from error
    if not {'image', 'label'} <= set(rows.column_names):
        raise DataError(
            f'{files[0]}: has the columns {", ".join(rows.column_names)}; image and label are '
            'needed. Rename them.'
        )
    if not hasattr(rows.features['label'], 'names'):
        raise DataError(
            f'{files[0]}: the column label is {rows.features["label"]} and has no names of '
            'classes. Save it as a `datasets.ClassLabel`.'
        )
    return rows.cast_column('image', datasets.Image(decode=False))


def _wordnet_numbers(names: Sequence[str], labels: Sequence[int]) -> dict[int, str]:
    """WordNet numbers by label, where the name of every file ends in that of its class."""
    numbers: dict[int, str] = {}
    for name, label in zip(names, labels, strict=True):
        match = _WORDNET.search(name)
        if match is None or numbers.setdefault(label, match[1]) != match[1]:
            return {}
    return numbers


def _unique(names: Sequence[str], labels: Sequence[int], classes: Sequence[str]) -> Iterator[str]:
    """Names below class folders; the row tells files of one name apart."""
    seen = set()
    for row, (name, label) in enumerate(zip(names, labels, strict=True)):
        path = f'{classes[label]}/{name}'
        if path in seen:
            stem, dot, ending = path.rpartition('.')
            path = f'{stem}~{row}{dot}{ending}'
        seen.add(path)
        yield path
