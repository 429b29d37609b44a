"""The leaderboard as tables that every format is made of; no format here.

``rows`` has a line a checkpoint, ``cells`` a line a number; a column is a :class:`Column`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import pandas as pd

from mim_bench.published.numbers import PublishedResult
from mim_bench.report.text import one_line
from mim_bench.results.collection import Collection, DamagedFile
from mim_bench.results.record import Protocol, RunRecord

DASH = '\N{EN DASH}'
NAMES = ['Method', 'Backbone', 'Checkpoint']
RANK = 'Mean rank'
# Facts of a checkpoint by heading, and how a known one is written.
FACTS = {
    'Params (M)': '{:,.1f}', 'Image (px)': '{:.0f}', 'Data': '{}', 'Epochs': '{:,g}',
    'Labels seen': '{}',
}  # fmt: skip
NUMBERS = (RANK, 'Params (M)', 'Image (px)', 'Epochs')


@dataclass(frozen=True)
class Column:
    """One quantity of one task under one protocol; starts as a ``Number`` does."""

    part: Literal['task', 'pretraining', 'total', 'cost']
    group: str
    metric: str
    unit: str
    higher_is_better: bool
    split: str
    group_title: str  # stands above the columns of the group
    task: str
    title: str  # is unique enough to stand alone
    short_title: str  # stands below ``group_title``
    decimals: int
    protocol: Protocol | None = None  # None of a cost
    qualifier: str = ''  # the tier below full and, where titles repeat, the protocol
    is_ranked: bool = False
    is_headline: bool = True  # stands in the first table

    @property
    def sign(self) -> int:
        """What makes of a value one of which more is better: 1 or -1."""
        return 1 if self.higher_is_better else -1

    @property
    def tier(self) -> str | None:
        """Tier of the protocol; None for costs."""
        return self.protocol and self.protocol.tier

    @property
    def measure(self) -> str:
        """Unit and direction of better, behind a title."""
        arrow = (' ↑' if self.higher_is_better else ' ↓') if self.is_ranked else ''
        return f'{f" ({self.unit})" if self.unit else ""}{arrow}'

    @property
    def name(self) -> str:
        """Title and qualifier."""
        return ' · '.join(filter(None, (self.title, self.qualifier)))


@dataclass
class Cell:
    """What a row has in a column.

    The interval from ``low`` to ``high`` is that of the mean over seeds or, with one seed whose
    run kept its outcomes, over images.
    """

    label: str  # of the row
    state: Literal['value', 'failed', 'unknown']  # unknown: a total without one of its parts
    value: float  # with runs of several seeds their mean; NaN where there is none
    runs: tuple[RunRecord, ...]  # what the value rests on
    column: int = -1  # its place
    is_best: bool = False
    sd: float | None = None  # over seeds (n - 1)
    low: float | None = None
    high: float | None = None
    interval_of: Literal['seeds', 'images'] | None = None
    is_tied: bool | None = None  # with the best; None where nothing could be tested
    saw_labels: bool | None = False  # of the task's data set; None: not known
    note: str = ''  # which labels, or what of a total is unknown
    text: str = ''  # what formats write
    marks: str = ''
    interval: str = ''


@dataclass
class Board:
    """Everything that the formats show, in the order in which they show it.

    ``rows`` has by label: names, mean rank and facts below their headings, NaN or None where not
    known; ``checkpoint`` and its ``runs``; the ``folder`` that they came from, empty for one
    folder; ``name``, the label without it; ``links``; ``is_random`` weights; ``is_baseline``, what
    others are held against, not ranked.
    """

    rows: pd.DataFrame
    columns: list[Column]  # the results and, from ``costs_at`` on, the costs of the runs of tasks
    cells: pd.DataFrame  # a line a :class:`Cell`, by row and column
    collection: Collection
    shared: Sequence[int] = ()  # places of the columns that the mean rank is taken over
    sorted_by: int | None = None  # place of the ranked column that most rows have
    published: Sequence[PublishedResult] = ()  # all of them, by task, backbone and method
    pairs: Sequence[Any] = ()  # of :mod:`mim_bench.report.published`
    damaged: Sequence[DamagedFile] = ()  # all files that were left out

    @property
    def records(self) -> list[RunRecord]:
        """All runs."""
        return self.collection.records

    @property
    def failed(self) -> list[RunRecord]:
        """The runs that ended with an error."""
        return [record for record in self.records if record.status == 'failed']

    @property
    def tiers(self) -> list[str]:
        """The tiers below full that occur."""
        found = {record.protocol.tier for record in self.records}
        return [tier for tier in ('proxy', 'smoke') if tier in found]

    @property
    def folders(self) -> list[str]:
        """Names of the merged folders; empty if there is only one."""
        return sorted({*self.rows['folder']} - {''})

    @property
    def facts(self) -> list[str]:
        """Headings of the mean rank, if there is one, and of what is known of checkpoints."""
        return [*([RANK] if self.shared else []), *FACTS]

    @property
    def costs_at(self) -> int:
        """Place of the first cost of the runs of tasks."""
        return sum(column.part not in ('total', 'cost') for column in self.columns)

    @property
    def costs(self) -> list[int]:
        """Places of the costs: the totals, then those of each task."""
        return list(range(self.costs_at, len(self.columns)))

    def results(self, *, headline: bool | None = None) -> list[int]:
        """Places of the headline results, of the further ones, or of all."""
        shown = enumerate(self.columns[: self.costs_at])
        return [place for place, column in shown if headline in (None, column.is_headline)]

    @property
    def contests(self) -> list[int]:
        """Places of the columns that rows are ordered by: the ranked ones of the first table."""
        return [place for place in self.results(headline=True) if self.columns[place].is_ranked]

    def grouped(self, places: Sequence[int]) -> list[tuple[Column, list[int]]]:
        """Columns by group: the first of each group, and the places of all."""
        groups = groupby(places, lambda place: self.columns[place].group)
        found = [list(some) for _, some in groups]
        return [(self.columns[some[0]], some) for some in found]

    def values(self, places: Sequence[int]) -> pd.DataFrame:
        """The values below some columns as numbers of which more is better; NaN where none is."""
        grid = self.cells.pivot(index='label', columns='column', values='value')
        signs = [self.columns[place].sign for place in places]
        return grid.reindex(index=self.rows.index, columns=list(places)).astype(float) * signs

    def grid(
        self,
        headings: Mapping[str | int, Any],
        entry: Callable[[Any], Any],
        escape: Callable[[str], str] = str,
    ) -> pd.DataFrame:
        """Rows and columns as the text of one format.

        Args:
            headings: What stands above each: by the name of a fact, or the place of a column.
            entry: Writes a cell, a line of :attr:`cells`.
            escape: Writes any other text.
        """
        is_shown = self.cells['column'].isin(headings)
        cells = {(c.label, c.column): entry(c) for c in self.cells[is_shown].itertuples()}
        lines = [
            [
                escape(fact_text(row, name)) if isinstance(name, str)
                else cells.get((row['Checkpoint'], name), escape(DASH))
                for name in headings
            ]
            for row in self.rows.to_dict('records')
        ]  # fmt: skip
        columns = pd.Index(headings.values())  # of pairs: two lines of headings
        return pd.DataFrame(lines, self.rows.index, columns, dtype=object)


def fact_text(row: Mapping[str, Any], name: str) -> str:
    """A name, the mean rank or a fact of a row as short text."""
    value = row[name]
    if pd.isna(value):
        return DASH if row['is_random'] or name == RANK else '?'
    return {RANK: '{:.2f}', **FACTS}.get(name, '{}').format(value)


def row_names(rows: pd.DataFrame) -> dict[str, str]:
    """Names for prose and charts, by label: method and backbone, or the label where they repeat."""
    names = dict(zip(rows.index, rows['Method'] + ' · ' + rows['Backbone'], strict=True))
    counts = Counter(names.values())
    return {label: one_line(name if counts[name] == 1 else label) for label, name in names.items()}
