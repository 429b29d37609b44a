"""The leaderboard as plain data: rows, column groups and cells; no rendering here."""

from dataclasses import dataclass, field
from typing import Literal

from mim_bench.report.catalogue import method_title
from mim_bench.report.comparison import PublishedSection
from mim_bench.results.record import RANDOM_METHOD, Checkpoint, Protocol, RunRecord
from mim_bench.results.store import DamagedFile


@dataclass(frozen=True)
class Column:
    """One quantity of one task under one protocol.

    ``title`` is unique enough to stand alone, ``short_title`` stands below the title of
    its group. ``qualifier`` says the tier and, where titles repeat, the protocol. Values
    of a column that is not ranked are facts of a row, not a competition. A sum adds up its runs;
    elsewhere several runs are seeds and give their mean.
    """

    key: str
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


@dataclass(frozen=True)
class Cell:
    """What one row has in one column; ``runs`` are the records that it rests on.

    With runs of several seeds ``value`` is their mean, ``sd`` their standard deviation (n - 1)
    and ``interval`` that of the mean over seeds; with one seed the interval is that over images,
    where the run kept its outcomes. ``is_tied`` says that tests cannot tell the value from the
    best of its column, None that nothing could be tested. ``mark`` is the tier of the run, given
    only where the column mixes tiers. The ``note`` of what is unknown says why. ``saw_labels``
    says whether the backbone saw labels of the task's data set before; None: not known.
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
DASH = '\N{EN DASH}'
# Behind a value that tests cannot tell from the best of its column.
TIE_MARK = '\N{ALMOST EQUAL TO}'
# Behind a value whose backbone saw labels of the task's data set, or may have.
LABELS_MARK, LABELS_UNKNOWN_MARK = '\N{DOUBLE DAGGER}', '?'


@dataclass(frozen=True)
class Row:
    """One checkpoint with its runs; ``cells`` holds what there is, by the key of the column."""

    label: str
    checkpoint: Checkpoint
    cells: dict[str, Cell]
    records: list[RunRecord] = field(default_factory=list)

    @property
    def method(self) -> str:
        """The method's title."""
        return method_title(self.checkpoint.method)

    @property
    def is_random(self) -> bool:
        """Whether the backbone was not pre-trained."""
        return self.checkpoint.method == RANDOM_METHOD

    def cell(self, column: Column) -> Cell:
        """The cell below a column; a missing one where nothing was measured."""
        return self.cells.get(column.key, MISSING)


@dataclass(frozen=True)
class Leaderboard:
    """Everything that the renderers show, in the order in which they show it."""

    rows: list[Row]
    groups: list[ColumnGroup]
    records: list[RunRecord]
    damaged: list[DamagedFile]
    sorted_by: Column | None = None
    published: PublishedSection = field(default_factory=PublishedSection)
    costs: list[ColumnGroup] = field(default_factory=list)

    @property
    def columns(self) -> list[Column]:
        """All columns of all groups."""
        return [column for group in self.groups for column in group.columns]

    @property
    def pretraining(self) -> list[RunRecord]:
        """The runs that made checkpoints."""
        return [record for record in self.records if record.is_pretraining]

    @property
    def failed(self) -> list[RunRecord]:
        """The runs that ended with an error."""
        return [record for record in self.records if record.status == 'failed']

    @property
    def tiers(self) -> list[str]:
        """The tiers below full that occur."""
        found = {record.protocol.tier for record in self.records}
        return [tier for tier in ('proxy', 'smoke') if tier in found]

    def groups_of(self, *, headline: bool) -> list[ColumnGroup]:
        """The groups with only their headline columns, or with only the further ones."""
        picked = []
        for group in self.groups:
            columns = [c for c in group.columns if c.is_headline == headline]
            if columns:
                picked.append(ColumnGroup(group.title, group.task, columns, group.protocol))
        return picked


def format_number(value: float, column: Column) -> str:
    """The value with the decimals of its column, thousands apart."""
    return f'{value:,.{column.decimals}f}'


def format_cell(cell: Cell, column: Column) -> str:
    """A cell as short text: its number, ``failed``, ``unknown``, or a dash."""
    if cell.state != 'value' or cell.value is None:
        return DASH if cell.state == 'missing' else cell.state
    extra = [f'n={len(cell.runs)}'] if len(cell.runs) > 1 and not column.is_sum else []
    extra += [cell.mark] if cell.mark else []
    number = format_number(cell.value, column)
    if cell.sd is not None:
        number += f' ± {cell.sd:,.{column.decimals}f}'
    return f'{number} ({", ".join(extra)})' if extra else number


def format_tie(cell: Cell) -> str:
    """The mark of a value that cannot be told from the best of its column; empty without one."""
    return TIE_MARK if cell.is_tied else ''


def format_labels(cell: Cell) -> str:
    """The mark of a value whose backbone saw labels of the task, or may have; empty without one."""
    if cell.saw_labels is None:
        return LABELS_UNKNOWN_MARK
    return LABELS_MARK if cell.saw_labels else ''


def format_marks(cell: Cell) -> str:
    """All marks behind a value."""
    return ' '.join(mark for mark in (format_tie(cell), format_labels(cell)) if mark)


def format_interval(cell: Cell, column: Column) -> str:
    """The interval of a cell as short text; empty without one."""
    if cell.interval is None:
        return ''
    low, high = (format_number(end, column) for end in cell.interval)
    return f'[{low}, {high}]'


def format_heading(column: Column) -> str:
    """The title of a column with its unit and the direction of better, as one line."""
    unit = f' ({column.unit})' if column.unit else ''
    arrow = (' ↑' if column.higher_is_better else ' ↓') if column.is_ranked else ''
    return f'{column.title}{unit}{arrow}'
