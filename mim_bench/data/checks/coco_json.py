"""Checking a COCO annotation file in itself, by the rules of the loader."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mim_bench.data.archives import is_file
from mim_bench.data.checks.report import Kind, Problem
from mim_bench.data.coco_annotations import (
    complete,
    document_faults,
    is_box,
    is_described,
    read_document,
    unused_objects,
)
from mim_bench.errors import DataError


@dataclass(frozen=True)
class Instances:
    """An annotation file that has the right shape.

    Attributes:
        document: With ``images``, ``annotations`` and ``categories``, entries with at least ``id``.
        num_areas: Areas that it does not state, or states as 0: the loader computes them.
    """

    document: Mapping[str, Any]
    num_areas: int

    @property
    def images(self) -> list[dict[str, Any]]:
        """Entries of the images."""
        return self.document['images']

    @property
    def annotations(self) -> list[dict[str, Any]]:
        """Entries of the objects."""
        return self.document['annotations']

    @property
    def categories(self) -> list[dict[str, Any]]:
        """Entries of the categories."""
        return self.document['categories']

    def file_names(self) -> list[str]:
        """Names of the images' files."""
        return [entry['file_name'] for entry in self.images if is_described(entry)]

    def unused(self, *, is_test: bool) -> dict[str, int]:
        """Objects that the loader does not use, by reason."""
        ids = {category['id'] for category in self.categories}
        whole = [entry for entry in self.annotations if _is_whole(entry)]
        return unused_objects({**self.document, 'annotations': whole}, ids, is_test=is_test)

    @property
    def num_flat_boxes(self) -> int:
        """Boxes of no width or height; COCO has a few, and the loaders skip them."""
        boxes = (entry.get('bbox') for entry in self.annotations)
        return sum(1 for box in boxes if is_box(box) and min(box[2:]) == 0)


def read_instances(path: Path, name: str) -> tuple[Instances | None, list[Problem]]:
    """Read an annotation file.

    Returns:
        What it holds and no problem, or None and why it cannot be used.
    """
    try:
        document = read_document(str(path))
    except DataError as error:
        message = str(error).removeprefix(f'{path}: ')
        kind = Kind.ANNOTATION if 'has no list' in message else Kind.UNREADABLE
        return None, [Problem(name, kind if is_file(path) else Kind.MISSING, message)]
    return Instances(document, complete(document)), []


def check_instances(instances: Instances, name: str) -> list[Problem]:
    """Problems of ids, categories, boxes and outlines, each named by its id."""
    faults = document_faults(instances.document)
    problems = [Problem(name, Kind.ANNOTATION, message) for _, message in faults]
    total = len(instances.annotations)
    unused = sum(instances.unused(is_test=False).values())
    if total and unused == total and not problems:
        message = f'a training can use none of its {total} objects: all are crowds or flat'
        problems.append(Problem(name, Kind.EMPTY, message))
    return problems


def _is_whole(entry: Mapping[str, Any]) -> bool:
    """Whether an object has what the reasons look at."""
    return is_box(entry.get('bbox')) and all(
        isinstance(entry.get(key), int) for key in ('image_id', 'category_id')
    )
