"""The leaderboard as plain data: rows, columns and cells, and the text of each; no format here.

A column is described once, by :class:`Column` (a measured quantity) or :class:`Fact` (of a
checkpoint); every format asks it for its heading, and for the text and the value of a row.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mim_bench.report import catalogue
from mim_bench.report.text import one_line
from mim_bench.results.record import (
    RANDOM_METHOD,
    Checkpoint,
    Protocol,
    RunRecord,
    data_set_of,
    share_labels,
)
from mim_bench.results.store import Collection, DamagedFile

if TYPE_CHECKING:
    from mim_bench.report.published import PublishedSection

DASH = '\N{EN DASH}'
# Behind a value that tests cannot tell from the best of its column.
TIE_MARK = '\N{ALMOST EQUAL TO}'
# Behind a value whose backbone saw labels of the task's data set, did not, or may have.
LABELS_MARKS = {True: '\N{DOUBLE DAGGER}', False: '', None: '?'}


@dataclass(frozen=True)
class Cell:
    """What one row has in one column; ``runs`` are the records that it rests on.

    With runs of several seeds ``value`` is their mean, ``sd`` their standard deviation (n - 1)
    and ``interval`` that of the mean; with one seed the interval is over images, where the run
    kept its outcomes. ``is_tied`` says that tests cannot tell the value from the best of its
    column; None: nothing could be tested. ``saw_labels``: of the task's data set; None: not known.
    """

    state: Literal['value', 'failed', 'unknown', 'missing'] = 'missing'
    value: float | None = None
    runs: tuple[RunRecord, ...] = ()
    is_best: bool = False
    sd: float | None = None
    interval: tuple[float, float] | None = None
    interval_of: Literal['seeds', 'images'] | None = None
    is_tied: bool | None = None
    saw_labels: bool | None = False
    note: str = ''

    @property
    def marks(self) -> str:
        """The marks behind the value: of a tie with the best, and of labels seen or not known."""
        return ' '.join(
            filter(None, (TIE_MARK if self.is_tied else '', LABELS_MARKS[self.saw_labels]))
        )

    @property
    def tip(self) -> str:
        """What else there is to say: why a total is unknown, or which labels were seen."""
        if self.note or self.saw_labels is False:
            return self.note
        if self.saw_labels is None:
            return "not known whether the backbone saw labels of the task's data set"
        seen = {name for run in self.runs for name in run.checkpoint.labels or ()}
        own = [n for n in sorted(seen) if share_labels(n, data_set_of(self.runs[0].task))]
        return f'backbone saw labels of {", ".join(map(catalogue.data_title, own))}'


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
    def name(self) -> str:
        """The label without the name of the folder."""
        return self.label.removesuffix(f' ({self.group})')

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

    def cell(self, column: 'Column') -> Cell:
        """The cell below a column; a missing one where nothing was measured."""
        return self.cells.get(column.key, MISSING)


def row_names(rows: Sequence[Row]) -> dict[str, str]:
    """Names for prose and charts, by label: method and backbone, or the label where they repeat."""
    names = {row.label: f'{row.method} · {row.checkpoint.backbone}' for row in rows}
    counts = Counter(names.values())
    return {label: one_line(name if counts[name] == 1 else label) for label, name in names.items()}


@dataclass(frozen=True)
class Fact:
    """A column of what is known of a checkpoint; ``read`` gives None where it is not known."""

    title: str
    read: Callable[[Row], float | str | None]
    form: str = '{}'
    missing: str = '?'
    is_number: bool = True

    def value(self, row: Row) -> float | str | None:
        """What to sort by."""
        return self.read(row)

    def text(self, row: Row) -> str:
        """The fact of a row as short text."""
        value = self.read(row)
        if value is None:
            return DASH if row.is_random else self.missing
        return self.form.format(value)


def _of_checkpoint(name: str) -> Callable[[Row], float | str | None]:
    """Reads a field of the checkpoint, of which random weights have none."""
    return lambda row: None if row.is_random else getattr(row.checkpoint, name)


def _millions(count: int | None) -> float | None:
    return None if count is None else count / 1e6


def _data(row: Row) -> str | None:
    data = row.checkpoint.pretrain_data
    return None if row.is_random or data is None else catalogue.data_title(data)


def _labels(row: Row) -> str | None:
    labels = row.checkpoint.labels
    if row.is_random or labels is None:
        return None
    return ', '.join(map(catalogue.data_title, labels)) or 'none'


NAMES = (
    Fact('Method', lambda row: row.method, is_number=False),
    Fact('Backbone', lambda row: row.checkpoint.backbone, is_number=False),
    Fact('Checkpoint', lambda row: row.label, is_number=False),
)
RANK = Fact('Mean rank', lambda row: row.rank, '{:.1f}', missing=DASH)
FACTS = (
    Fact('Params (M)', lambda row: _millions(row.checkpoint.params), '{:,.1f}'),
    Fact('Image (px)', _of_checkpoint('img_size')),
    Fact('Data', _data, is_number=False),
    Fact('Epochs', _of_checkpoint('pretrain_epochs'), '{:,g}'),
    Fact('Labels seen', _labels, is_number=False),
)


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
    is_number = True

    @property
    def sign(self) -> int:
        """What makes of a value one of which more is better: 1 or -1."""
        return 1 if self.higher_is_better else -1

    @property
    def is_contest(self) -> bool:
        """Whether rows are ordered by it: ranked, and in the first table."""
        return self.is_ranked and self.is_headline

    @property
    def measure(self) -> str:
        """Unit and direction of better, behind a title."""
        arrow = (' ↑' if self.higher_is_better else ' ↓') if self.is_ranked else ''
        return f'{f" ({self.unit})" if self.unit else ""}{arrow}'

    @property
    def heading(self) -> str:
        """Title, unit and the direction of better, as one line."""
        return self.title + self.measure

    def value(self, row: Row) -> float | None:
        """What to sort by."""
        return row.cell(self).value

    def text(self, row: Row) -> str:
        """The cell of a row as short text: its number, ``failed``, ``unknown``, or a dash."""
        cell = row.cell(self)
        if cell.value is None:
            return DASH if cell.state == 'missing' else cell.state
        spread = f' ± {cell.sd:,.{self.decimals}f}' if cell.sd is not None else ''
        seeds = f' (n={len(cell.runs)})' if len(cell.runs) > 1 and not self.is_sum else ''
        return f'{cell.value:,.{self.decimals}f}{spread}{seeds}'

    def interval(self, row: Row) -> str:
        """The interval of a row's cell in brackets; empty without one."""
        ends = row.cell(self).interval
        return '[{:,.{d}f}, {:,.{d}f}]'.format(*ends, d=self.decimals) if ends else ''


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

    def part(self, *, headline: bool) -> list[Column]:
        """The headline columns, or the further ones."""
        return [column for column in self.columns if column.is_headline == headline]


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
    def facts(self) -> list[Fact]:
        """The mean rank, if there is one, and what is known of each checkpoint."""
        return [*([RANK] if self.shared else []), *FACTS]

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

    def groups_of(self, *, headline: bool) -> list[tuple[ColumnGroup, list[Column]]]:
        """The groups with their headline columns, or with their further ones."""
        pairs = ((group, group.part(headline=headline)) for group in self.groups)
        return [(group, columns) for group, columns in pairs if columns]
