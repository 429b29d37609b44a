"""The leaderboard as plain data: rows, column groups and cells; no rendering here."""

from dataclasses import dataclass, field
from typing import Literal

from mim_bench.report.catalogue import method_title
from mim_bench.results.record import RANDOM_METHOD, Checkpoint, Protocol, RunRecord
from mim_bench.results.store import DamagedFile


@dataclass(frozen=True)
class Column:
    """One quantity of one task under one protocol.

    ``title`` is unique enough to stand alone, ``short_title`` stands below the title of
    its group. ``qualifier`` says the tier and, where titles repeat, the protocol. Values
    of a column that is not ranked are facts of a row, not a competition.
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


@dataclass(frozen=True)
class ColumnGroup:
    """Columns that share one protocol and tier; ``protocol`` is None for pre-training."""

    title: str
    task: str
    columns: list[Column]
    protocol: Protocol | None = None


@dataclass(frozen=True)
class Cell:
    """What one row has in one column; ``runs`` are the records that it rests on.

    With runs of several seeds ``value`` is their mean. ``mark`` is the tier of the run,
    given only where the column mixes tiers.
    """

    state: Literal['value', 'failed', 'missing'] = 'missing'
    value: float | None = None
    is_best: bool = False
    runs: list[RunRecord] = field(default_factory=list)
    mark: str = ''


MISSING = Cell()
DASH = '\N{EN DASH}'


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
    """A cell as short text: its number, ``failed``, or a dash."""
    if cell.state != 'value' or cell.value is None:
        return 'failed' if cell.state == 'failed' else DASH
    extra = [f'n={len(cell.runs)}'] if len(cell.runs) > 1 else []
    extra += [cell.mark] if cell.mark else []
    number = format_number(cell.value, column)
    return f'{number} ({", ".join(extra)})' if extra else number


def format_heading(column: Column) -> str:
    """The title of a column with its unit and the direction of better, as one line."""
    unit = f' ({column.unit})' if column.unit else ''
    arrow = (' ↑' if column.higher_is_better else ' ↓') if column.is_ranked else ''
    return f'{column.title}{unit}{arrow}'
