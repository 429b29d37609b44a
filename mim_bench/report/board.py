"""The leaderboard as plain data: rows, column groups and cells; no rendering here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from mim_bench.report import catalogue
from mim_bench.results.record import RANDOM_METHOD, Checkpoint, Protocol, RunRecord
from mim_bench.results.store import Collection, DamagedFile

if TYPE_CHECKING:
    from mim_bench.report.published import PublishedSection


@dataclass(frozen=True)
class Column:
    """One quantity of one task under one protocol.

    ``title`` is unique enough to stand alone, ``short_title`` stands below the title of its group.
    ``qualifier`` says the tier and, where titles repeat, the protocol. Values of a column that is
    not ranked are facts of a row. A sum adds up its runs; elsewhere several runs are seeds and
    give their mean.
    """

    key: tuple[str, ...]
    title: str
    short_title: str
    unit: str
    higher_is_better: bool
    decimals: int
    task: str
    metric: str
    qualifier: str = ''
    is_ranked: bool = True
    is_headline: bool = True
    is_sum: bool = False

    @property
    def sign(self) -> int:
        """What makes of a value one of which more is better: 1 or -1."""
        return 1 if self.higher_is_better else -1

    @property
    def is_contest(self) -> bool:
        """Whether rows are ordered by it: ranked, and in the first table."""
        return self.is_ranked and self.is_headline

    @property
    def heading(self) -> str:
        """Title, unit and the direction of better, as one line."""
        arrow = (' ↑' if self.higher_is_better else ' ↓') if self.is_ranked else ''
        return f'{self.title}{f" ({self.unit})" if self.unit else ""}{arrow}'


@dataclass(frozen=True)
class ColumnGroup:
    """Columns that share one protocol and tier; ``protocol`` is None for pre-training."""

    title: str
    task: str
    columns: list[Column]
    protocol: Protocol | None = None

    @property
    def key(self) -> str:
        """Names the group in links to the page: task, tier and protocol hash."""
        protocol = self.protocol
        return f'{self.task}.{protocol.tier}.{protocol.hash}' if protocol else self.task

    @property
    def tier(self) -> str | None:
        """Tier of the protocol; None for pre-training."""
        return self.protocol.tier if self.protocol is not None else None


@dataclass(frozen=True)
class Cell:
    """What one row has in one column; ``runs`` are the records that it rests on.

    With runs of several seeds ``value`` is their mean, ``sd`` their standard deviation (n - 1)
    and ``interval`` that of the mean; with one seed the interval is over images, where the run
    kept its outcomes. ``is_tied`` says that tests cannot tell the value from the best of its
    column; None: nothing could be tested. ``mark`` is the tier of the run where a column mixes
    tiers. ``saw_labels``: of the task's data set; None: not known.
    """

    state: Literal['value', 'failed', 'unknown', 'missing'] = 'missing'
    value: float | None = None
    is_best: bool = False
    runs: list[RunRecord] = field(default_factory=list)
    mark: str = ''
    sd: float | None = None
    interval: tuple[float, float] | None = None
    interval_of: Literal['seeds', 'images'] | None = None
    is_tied: bool | None = None
    saw_labels: bool | None = False
    note: str = ''


MISSING = Cell()


@dataclass(frozen=True)
class Row:
    """One checkpoint with its runs; ``cells`` holds what there is, by the key of the column.

    ``group`` names the folder that the records came from; empty if there is only one. ``rank`` is
    the mean rank over the shared columns; None for rows that do not hold all of them.
    """

    label: str
    checkpoint: Checkpoint
    records: list[RunRecord]
    group: str = ''
    cells: dict[tuple[str, ...], Cell] = field(default_factory=dict)
    rank: float | None = None
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The method's title."""
        return catalogue.method_title(self.checkpoint.method)

    @property
    def is_random(self) -> bool:
        """Whether the backbone was not pre-trained."""
        return self.checkpoint.method == RANDOM_METHOD

    @property
    def is_baseline(self) -> bool:
        """Whether others are held against it: random weights and supervised training."""
        return self.is_random or self.checkpoint.method.startswith(catalogue.SUPERVISED)

    def cell(self, column: Column) -> Cell:
        """The cell below a column; a missing one where nothing was measured."""
        return self.cells.get(column.key, MISSING)


@dataclass(frozen=True)
class Leaderboard:
    """Everything that the formats show, in the order in which they show it.

    The mean rank is taken over the columns in ``shared``; ``sorted_by`` is the ranked column that
    most rows have. ``damaged`` are all files that were left out.
    """

    rows: list[Row]
    groups: list[ColumnGroup]
    collection: Collection
    damaged: list[DamagedFile]
    shared: list[Column]
    sorted_by: Column | None
    published: 'PublishedSection'
    costs: list[ColumnGroup]

    @property
    def records(self) -> list[RunRecord]:
        """All runs."""
        return self.collection.records

    @property
    def columns(self) -> list[Column]:
        """All columns of all groups."""
        return [column for group in self.groups for column in group.columns]

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
        return sorted({row.group for row in self.rows} - {''})

    def groups_of(self, *, headline: bool) -> list[ColumnGroup]:
        """The groups with only their headline columns, or with only the further ones."""
        picked = [
            replace(group, columns=[c for c in group.columns if c.is_headline == headline])
            for group in self.groups
        ]
        return [group for group in picked if group.columns]
