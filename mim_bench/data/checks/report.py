"""What a check found: counts, and problems that each name a file."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any


class Kind(Enum):
    """What is wrong, for counting."""

    COUNT = 'unexpected count'
    EMPTY = 'nothing there'
    MISSING = 'missing file'
    UNLISTED = 'file that no annotation names'
    UNREADABLE = 'file that the loaders refuse'
    SIZE = 'sizes that differ'
    ORIENTATION = 'EXIF orientation that nothing proves'
    CLASSES = 'classes that differ'
    LABEL = 'label out of range'
    ANNOTATION = 'inconsistent annotation'


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: The file or folder, relative to the dataset where it lies in it.
        kind: For counting.
        message: What is wrong with it, values included.
    """

    path: str
    kind: Kind
    message: str


@dataclass
class Report:
    """The outcome of one check.

    Attributes:
        dataset: ``imagenet``, ``ade20k`` or ``coco``.
        root: The folder that was found to hold it.
        counts: Whatever was counted, by a name that can be printed.
        problems: In the order of files.
        left_out: Hidden files and folders, which the loaders do not read.
        notes: What a run accepts, and its owner may not know.
    """

    dataset: str
    root: Path
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    def add(self, problems: Iterable[Problem]) -> None:
        """Take in more problems."""
        self.problems.extend(problems)

    def leave_out(self, where: str, hidden: Sequence[str]) -> None:
        """Say which hidden files and folders the loaders leave out; they are no problem.

        ``where`` is relative to the dataset, '.' for itself.
        """
        if hidden:
            self.counts[f'{where} hidden, left out'.removeprefix('. ')] = len(hidden)
            self.left_out += [Path(where, name).as_posix() for name in hidden]

    def count_others(self, where: str, files: Sequence[str]) -> None:
        """Count files that no loader takes for images by their ending."""
        if files:
            self.counts[f'{where} files of another ending, left out'] = len(files)

    def kinds(self) -> Counter[Kind]:
        """Problems by kind."""
        return Counter(problem.kind for problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            'dataset': self.dataset,
            'root': str(self.root),
            'ok': self.is_ok,
            'counts': self.counts,
            'left_out': self.left_out,
            'notes': self.notes,
            'problems': [
                {'path': entry.path, 'kind': entry.kind.value, 'message': entry.message}
                for entry in self.problems
            ],
        }
