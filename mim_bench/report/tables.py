"""The tables of the report, from which every format is rendered, and the sentences around them.

A :class:`Table` holds headings and entries; it knows nothing of HTML, Markdown, LaTeX or terminals.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from mim_bench.report.board import MISSING, Cell, Column, ColumnGroup, Leaderboard, Row
from mim_bench.report.catalogue import data_title
from mim_bench.results.record import Checkpoint, data_set_of, share_labels
from mim_bench.results.statistics import ALPHA

DASH = '\N{EN DASH}'
# Behind a value that tests cannot tell from the best of its column.
TIE_MARK = '\N{ALMOST EQUAL TO}'
# Behind a value whose backbone saw labels of the task's data set, or may have.
LABELS_MARK, LABELS_UNKNOWN_MARK = '\N{DOUBLE DAGGER}', '?'

READING_NOTE = (
    'Bold is the best of its column; baselines (random weights, supervised training) and training '
    'losses are not ranked. Columns that differ in protocol or tier are never ranked together; a '
    'dash means that nothing was measured.'
)
COST_NOTE = (
    'Costs of the tasks are of one run, the mean over seeds; peak memory is the highest. A total '
    'adds up pre-training and every run that a number of the row rests on; it is unknown where a '
    'part is.'
)
TIER_NOTES = {
    'proxy': 'Columns marked proxy come from shortened protocols: they rank, they do not quote.',
    'smoke': (
        'Columns marked smoke come from tiny runs that show that everything works; '
        'they are not comparable with published numbers.'
    ),
}


@dataclass(frozen=True)
class Heading:
    """The heading of one column of a table.

    ``kind`` says what stands below: ``number`` goes to the right, ``code`` and ``chip`` have a look
    of their own on the page. ``column`` and ``group`` are those of the board, ``row`` the place of
    the row that the column is about.
    """

    text: str
    kind: str = 'text'
    column: Column | None = None
    group: ColumnGroup | None = None
    row: int | None = None


@dataclass(frozen=True)
class Entry:
    """One cell of a table.

    ``value`` is what to sort by, ``small`` are lines below the text, ``tip`` shows when the pointer
    rests on it, ``link`` is an address. ``cell`` is that of the board.
    """

    text: str = ''
    value: float | str | None = None
    is_best: bool = False
    marks: str = ''
    small: Sequence[str] = ()
    tip: str = ''
    link: str = ''
    cell: Cell = MISSING


@dataclass(frozen=True)
class Table:
    """A table; ``rows`` are those of the board where each line is about one of them.

    ``is_folded`` ones open on demand, ``is_long`` ones are on the page only. ``name`` is that of
    their place on the page.
    """

    name: str
    title: str
    headings: Sequence[Heading]
    lines: Sequence[Sequence[Entry]]
    note: str = ''
    rows: Sequence[Row] = ()
    is_folded: bool = False
    is_long: bool = False

    def frame(
        self, heading: Callable[[Heading], object], entry: Callable[[Entry], str]
    ) -> pd.DataFrame:
        """The table as text of one format; headings that are tuples have two levels."""
        columns = [heading(one) for one in self.headings]
        if columns and isinstance(columns[0], tuple):
            columns = pd.MultiIndex.from_tuples(columns)
        return pd.DataFrame([[entry(one) for one in line] for line in self.lines], columns=columns)

    def pick(self, headings: Sequence[Heading], most: int | None = None) -> 'Table':
        """The same table with only these headings, and at most so many lines."""
        places = [self.headings.index(heading) for heading in headings]
        lines = [[line[place] for place in places] for line in self.lines[:most]]
        return Table(self.name, self.title, headings, lines, self.note, self.rows[:most])


def text_table(
    name: str,
    title: str,
    headings: Sequence[str | Heading],
    lines: Sequence[Sequence[object]],
    **changes: object,
) -> Table:
    """A table of plain texts; entries that are :class:`Entry` already stay as they are."""
    made = [one if isinstance(one, Heading) else Heading(one) for one in headings]
    entries = [[e if isinstance(e, Entry) else Entry(str(e)) for e in line] for line in lines]
    return Table(name, title, made, entries, **changes)


NAMES = (Heading('Method'), Heading('Backbone'), Heading('Checkpoint'))
RANK = Heading('Mean rank', 'number')
FACTS = (
    Heading('Params (M)', 'number'),
    Heading('Image (px)', 'number'),
    Heading('Data'),
    Heading('Epochs', 'number'),
    Heading('Labels seen'),
)


def results_table(board: Leaderboard, *, headline: bool = True) -> Table:
    """The results of every row: names, facts of the checkpoint, mean rank, numbers."""
    groups = board.groups_of(headline=headline)
    if not headline:
        return _board_table(board, 'further', 'Further metrics', groups)
    middle = [*([RANK] if board.shared else []), *FACTS]
    return _board_table(board, 'results', 'Results', groups, middle)


def cost_table(board: Leaderboard) -> Table:
    """What each row cost."""
    return _board_table(board, 'totals', 'Cost of each row', board.costs, note=COST_NOTE)


def _board_table(
    board: Leaderboard,
    name: str,
    title: str,
    groups: Sequence[ColumnGroup],
    middle: Sequence[Heading] = (),
    note: str = '',
) -> Table:
    pairs = [(column, group) for group in groups for column in group.columns]
    headings = [Heading(column.short_title, 'number', column, group) for column, group in pairs]
    lines = []
    for row in board.rows:
        facts = dict(zip((RANK, *FACTS), (_rank_entry(row), *_fact_entries(row)), strict=True))
        lines.append(
            [
                *map(Entry, (row.method, row.checkpoint.backbone, row.label)),
                *(facts[heading] for heading in middle),
                *(_cell_entry(row.cell(column), column) for column, _ in pairs),
            ]
        )
    return Table(name, title, [*NAMES, *middle, *headings], lines, note, board.rows)


def _rank_entry(row: Row) -> Entry:
    return Entry(DASH) if row.rank is None else Entry(f'{row.rank:.1f}', row.rank)


def _fact_entries(row: Row) -> list[Entry]:
    """Of random weights only the parameters are a fact."""
    checkpoint = row.checkpoint
    params = checkpoint.params and Entry(
        f'{checkpoint.params / 1e6:,.1f}', checkpoint.params, tip='; '.join(checkpoint.notes)
    )
    if row.is_random:
        return [params or Entry(DASH), *([Entry(DASH)] * 4)]
    size, epochs, data = checkpoint.img_size, checkpoint.pretrain_epochs, checkpoint.pretrain_data
    labels = checkpoint.labels
    found = [
        params,
        size and Entry(f'{size}', size),
        data and Entry(data_title(data)),
        epochs is not None and Entry(f'{epochs:,g}', epochs),
        labels is not None and Entry(', '.join(map(data_title, labels)) or 'none'),
    ]
    return [entry or Entry('?', tip='not known') for entry in found]


def _cell_entry(cell: Cell, column: Column) -> Entry:
    if cell.state == 'missing':
        return _MISSING
    # All marks behind a value: of a tie with the best, and of labels seen or not known.
    labels = {True: LABELS_MARK, None: LABELS_UNKNOWN_MARK, False: ''}[cell.saw_labels]
    marks = ' '.join(filter(None, (TIE_MARK if cell.is_tied else '', labels)))
    interval = cell.interval and '[{:,.{d}f}, {:,.{d}f}]'.format(*cell.interval, d=column.decimals)
    return Entry(
        format_cell(cell, column),
        cell.value,
        cell.is_best,
        marks,
        (interval,) if interval else (),
        cell.note or labels_note(cell),
        cell=cell,
    )


_MISSING = Entry(DASH)


def format_cell(cell: Cell, column: Column) -> str:
    """A cell as short text: its number, ``failed``, ``unknown``, or a dash."""
    if cell.state != 'value' or cell.value is None:
        return DASH if cell.state == 'missing' else cell.state
    extra = [f'n={len(cell.runs)}'] if len(cell.runs) > 1 and not column.is_sum else []
    extra += [cell.mark] if cell.mark else []
    number = f'{cell.value:,.{column.decimals}f}'
    if cell.sd is not None:
        number += f' ± {cell.sd:,.{column.decimals}f}'
    return f'{number} ({", ".join(extra)})' if extra else number


def marks_note(board: Leaderboard, *, with_intervals: bool = True) -> str:
    """What the marks of spread, ties and labels on this board mean; empty if it has none."""
    cells = [cell for row in board.rows for cell in row.cells.values()]
    notes = {
        '± is the standard deviation over n seeds.': any(cell.sd is not None for cell in cells),
        'Brackets hold a 95 % interval: of the mean over seeds, or of a single run over images.': (
            with_intervals and any(cell.interval is not None for cell in cells)
        ),
        f'{TIE_MARK} marks values that are not distinguishable from the best of their column '
        f'(p ≥ {ALPHA:g} over the same images, or over seeds). Values without the mark that are '
        'not bold differ, or could not be tested.': any(cell.is_tied for cell in cells),
        f"{LABELS_MARK} marks results whose backbone saw labels of the task's data set before.": (
            any(cell.saw_labels for cell in cells)
        ),
        f'{LABELS_UNKNOWN_MARK} marks results where that is not known.': (
            any(cell.saw_labels is None for cell in cells)
        ),
    }
    return ' '.join(note for note, is_needed in notes.items() if is_needed)


def order_note(board: Leaderboard) -> str:
    """By what the rows are sorted."""
    if not board.shared:
        return ''
    names = ', '.join(column.title for column in board.shared)
    count = plural(sum(row.rank is not None for row in board.rows), 'checkpoint')
    return (
        f'Sorted by mean rank over what {count} share ({names}); rows that lack one of these have '
        'no mean rank, baselines come last.'
    )


def conclusion(board: Leaderboard) -> str:
    """One sentence on what the board allows to conclude."""
    ranked = [row for row in board.rows if row.rank is not None]
    if not ranked:
        return (
            'Nothing is ranked here: fewer than two pre-trained checkpoints share a column, so no '
            'method can be called better than another.'
        )
    best = [row for row in ranked if row.rank == ranked[0].rank]
    cells = [best[0].cell(column) for column in board.shared]
    num_top = sum(cell.is_best or bool(cell.is_tied) for cell in cells)
    num_alone = sum(cell.is_best and cell.is_tied is False for cell in cells)
    of_all = f'{best[0].rank:.1f} of {len(ranked):,} checkpoints over '
    of_all += plural(len(board.shared), 'column')
    if len(best) > 1:
        names = ', '.join(row.label for row in best[:3])
        text = f'No checkpoint leads: {names} share the best mean rank, {of_all}'
    else:
        text = (
            f'{best[0].label} has the best mean rank, {of_all}: best or not distinguishable from '
            f'the best in {num_top}, separated by tests from every other tested row in {num_alone}'
        )
    tiers = {group.tier for group in board.groups if set(group.columns) & set(board.shared)}
    if 'smoke' in tiers:
        return f'{text}; these are smoke runs, so nothing follows for full training.'
    if 'proxy' in tiers:
        return f'{text}; these are proxies, which rank but are not to be quoted.'
    return f'{text}; this holds for the protocols below only.'


def labels_note(cell: Cell) -> str:
    """Which labels the backbone of a value saw; empty if none of the task's."""
    if cell.saw_labels is False:
        return ''
    if cell.saw_labels is None:
        return "not known whether the backbone saw labels of the task's data set"
    seen = {name for run in cell.runs for name in run.checkpoint.labels or ()}
    own = [name for name in sorted(seen) if share_labels(name, data_set_of(cell.runs[0].task))]
    return f'backbone saw labels of {", ".join(map(data_title, own))}'


def labels_text(checkpoint: Checkpoint) -> str:
    """Names of the data sets whose labels a checkpoint has seen; empty: not known."""
    return '' if checkpoint.labels is None else '+'.join(checkpoint.labels) or 'none'


def plural(count: int, noun: str) -> str:
    """A count with its noun: ``1 run``, ``2 runs``."""
    return f'{count:,} {noun}' if count == 1 else f'{count:,} {noun}s'


def summary_line(board: Leaderboard) -> str:
    """How much there is and when it was measured, in one line."""
    parts = [plural(len(board.rows), 'checkpoint'), plural(len(board.records), 'run')]
    if board.failed:
        parts.append(f'{len(board.failed):,} failed')
    if board.damaged:
        parts.append(f'{plural(len(board.damaged), "damaged record")} left out')
    if board.folders:
        parts.append(f'merged from {", ".join(board.folders)}')
    days = sorted(record.started_at[:10] for record in board.records)
    if days:
        parts.append(days[0] if days[0] == days[-1] else f'{days[0]} to {days[-1]}')
    return ' · '.join(parts)
