"""Writes images in Hugging Face's parquet layout, for tests; needs the library ``datasets``."""

from collections.abc import Sequence
from pathlib import Path

from mim_bench.data.listing import class_folders, list_files


def write_rows(
    folder: Path,
    split: str,
    rows: Sequence[tuple[str | None, bytes, int | None]],
    names: Sequence[str],
    parts: int = 2,
) -> None:
    """Write a split.

    Args:
        folder: Gets the files ``<split>-*.parquet``.
        split: Beginning of their names.
        rows: Name of the file, content and label of each image.
        names: Names of the classes, by number.
        parts: Number of files.
    """
    import datasets

    features = datasets.Features(
        {'image': datasets.Image(), 'label': datasets.ClassLabel(names=list(names))}
    )
    folder.mkdir(parents=True, exist_ok=True)
    for part in range(parts):
        some = rows[part * len(rows) // parts : (part + 1) * len(rows) // parts]
        images = [{'bytes': content, 'path': name} for name, content, _ in some]
        columns = {'image': images, 'label': [label for _, _, label in some]}
        table = datasets.Dataset.from_dict(columns, features=features)
        table.to_parquet(str(folder / f'{split}-{part:05d}-of-{parts:05d}.parquet'))


def write_parquet(source: Path, root: Path, names: Sequence[str] = ()) -> Path:
    """Write the splits of a folder of class folders.

    The rows are not sorted: first every third file, then those after them.

    Args:
        source: With ``train`` and ``val``.
        root: Root folder of the new data set.
        names: Classes by number; else sorted.

    Returns:
        The root.
    """
    for split, beginning in (('train', 'train'), ('val', 'validation')):
        classes = list(names) or class_folders(source / split)
        files = list_files(source / split).files
        files = [Path(file) for start in range(3) for file in files[start::3]]
        rows = [
            (file.name, (source / split / file).read_bytes(), classes.index(file.parts[0]))
            for file in files
        ]
        write_rows(root / 'data', beginning, rows, classes)
    return root
