"""What a data set holds and how much of it a run uses; and whether two number their classes alike.

The data set classes of this package fill a :class:`Summary` as they load; nothing is listed twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from mim_bench.errors import DataError, first_of

_NAMES_SHOWN = 12


@dataclass
class Summary:
    """What one data set holds.

    Attributes:
        where: The folder or file that it was read from.
        images: Images that were found.
        objects: Annotated objects that were found; None where images have no objects.
        unused: Number of what is not used by reason; the reason begins with ``images``,
            ``objects``, or what else it counts.
        names: Classes by the number that the loader gives them; None where only numbers are known.
        empty: Those of the names of which no object is used.
        class_images: Images by class number; None where images have no single class.
    """

    where: str
    images: int
    objects: int | None = None
    unused: dict[str, int] = field(default_factory=dict)
    names: tuple[str, ...] | None = None
    empty: tuple[str, ...] = ()
    class_images: dict[int, int] | None = None

    def used(self, what: str) -> int:
        """How many ``images`` or ``objects`` a run uses."""
        found = self.images if what == 'images' else self.objects or 0
        return found - sum(
            number for reason, number in self.unused.items() if reason.startswith(what)
        )

    def add_unused(self, reason: str, number: int) -> None:
        """Count what is not used; 0 is not mentioned."""
        if number:
            self.unused[reason] = self.unused.get(reason, 0) + number

    def leave_out(self, hidden: Sequence[str], others: Sequence[str], endings: str) -> None:
        """Count what the listing of a folder leaves out, by names and by endings."""
        self.add_unused('hidden files or folders', len(hidden))
        self.add_unused(f'files with another ending than {endings}', len(others))

    def check_used(self) -> None:
        """Refuse a data set of which nothing is used.

        Raises:
            DataError: It says why.
        """
        for what in ('images', 'objects'):
            if (what == 'images' or self.objects is not None) and self.used(what) <= 0:
                raise DataError(
                    f'{self.where}: a run can use none of its {what}. {self}. `mim-bench data '
                    'check` looks at every file.'
                )

    def __str__(self) -> str:
        parts = [f'{self.images:,} images, {self.used("images"):,} used']
        if self.objects is not None:
            parts.append(f'{self.objects:,} objects, {self.used("objects"):,} used')
        if self.names is not None:
            parts.append(f'{len(self.names)} classes')
        if self.empty:
            parts.append(f'no object of {listed(self.empty)} of them')
        text = ', '.join(parts)
        if self.unused:
            reasons = (f'{number:,} {reason}' for reason, number in self.unused.items())
            text += f' (not used: {"; ".join(reasons)})'
        return text


def summary_of(dataset: Any) -> Summary | None:
    """The summary of a data set, wrapped or not; None where its class makes none."""
    while dataset is not None:
        if isinstance(found := vars(dataset).get('summary'), Summary):
            return found
        dataset = vars(dataset).get('dataset')
    return None


def known_classes(dataset: Any) -> int:
    """The number of classes of a data set, of which its images may show fewer; 0 if not known."""
    summary = summary_of(dataset)
    return len(summary.names or ()) if summary else 0


def check_same_classes(summaries: Mapping[str, Summary | None]) -> None:
    """Refuse data sets of one run that number their classes differently.

    Args:
        summaries: By what the data set is for; those without names are not compared.

    Raises:
        DataError: With both lists.
    """
    named = [(what, summary) for what, summary in summaries.items() if summary and summary.names]
    for (one, first), (other, second) in pairwise(named):
        if first.names != second.names:
            what = difference(first.names, second.names, one, other)
            raise DataError(
                f'The {one} and the {other} data number their classes differently: {what} The '
                f'{one} data ({first.where}) have {listed(first.names)}; the {other} data '
                f'({second.where}) have {listed(second.names)}. Give both the same classes in the '
                'same order.'
            )


def difference(first: Sequence[str], second: Sequence[str], one: str, other: str) -> str:
    """The difference between two lists of classes, ``one`` and the ``other``, as a sentence."""
    only = [name for name in first if name not in second]
    others = [name for name in second if name not in first]
    lowered = {name.lower() for name in others}
    if capitals := [name for name in only if name.lower() in lowered]:
        return f'names differ by capitals, for example {capitals[0]!r}.'
    parts = []
    if only:
        parts.append(f'{listed(only)} only in the {one}')
    if others:
        parts.append(f'{listed(others)} only in the {other}')
    if parts:
        return f'{" and ".join(parts)}.'
    place = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )
    return f'the order differs from number {place} on.'


def listed(names: Sequence[str]) -> str:
    """A list of classes for a message: how many, and the first of them."""
    return f'{len(names)} ({first_of(names, _NAMES_SHOWN)})'
