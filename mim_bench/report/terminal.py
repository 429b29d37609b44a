"""The leaderboard as tables for a terminal."""

from collections.abc import Iterator, Sequence

import pandas as pd
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mim_bench.report.board import RANK, Column, Fact, Leaderboard, Row
from mim_bench.report.tables import (
    KINDS,
    MOST_PAIRS,
    NOTES,
    conclusion,
    pair_frame,
    plural,
    reading_note,
    summary_line,
)
from mim_bench.report.text import one_line

# More rows scroll away in a terminal; the written forms have all.
MOST_TERMINAL_ROWS = 200
_LONGEST_LINE = 36
# What a terminal has room for of a pair with a published number.
_SHORT_PAIR = ['Checkpoint', 'Ours', 'Published', 'Difference', 'Verdict', 'Source']


def print_leaderboard(board: Leaderboard, console: Console) -> None:
    """Print the board; numbers are never cut off, wide boards become several tables."""
    console.print(Padding(Group(*_parts(board, console)), (1, 0)))


def _parts(board: Leaderboard, console: Console) -> Iterator[RenderableType]:
    columns = [column for _, some in board.groups_of(headline=True) for column in some]
    yield Text('Leaderboard', style='bold')
    yield Text(summary_line(board))
    yield from (Text(NOTES[f'tier-{tier}'], style='yellow') for tier in board.tiers)
    yield from _tables(board.rows, [*([RANK] if board.shared else []), *columns], console)
    yield Text(one_line(conclusion(board)))
    notes = [one_line(reading_note(board))]
    for count, noun in (
        (len(board.rows) - MOST_TERMINAL_ROWS, 'further checkpoint'),
        (len(board.columns) - len(columns), 'further metric'),
    ):
        if count > 0:
            notes.append(f'{plural(count, noun)} in the written leaderboard.')
    yield Text('\n'.join(notes), style='dim')
    yield from _published(board)
    lines = [('cyan', kind, text) for kind, text in board.collection.notes]
    lines += [('red', 'failed', f'{run.run_id}: {run.error or ""}') for run in board.failed]
    lines += [('yellow', 'left out', f'{file.path}: {file.reason}') for file in board.damaged]
    yield from (Text(f'{kind}: {one_line(text)}', style=style) for style, kind, text in lines)


def _tables(
    rows: Sequence[Row], columns: Sequence[Fact | Column], console: Console
) -> Iterator[Table]:
    """As many tables as the width needs, each with the names of the rows."""
    wide = console.options.update(width=10_000)

    def width_of(some: Sequence[Fact | Column]) -> int:
        return _board_table(rows, some).__rich_measure__(console, wide).maximum

    names = used = width_of([])
    chunk: list[Fact | Column] = []
    for column in columns:
        needed = width_of([column]) - names
        if chunk and used + needed > console.width:
            yield _board_table(rows, chunk)
            chunk, used = [], names
        chunk.append(column)
        used += needed
    yield _board_table(rows, chunk)


def _board_table(rows: Sequence[Row], columns: Sequence[Fact | Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style='', border_style='dim', leading=1)
    table.add_column('Checkpoint', no_wrap=True, vertical='bottom')
    for column in columns:
        table.add_column(Text(_heading(column)), justify='right', no_wrap=True)
    for row in rows[:MOST_TERMINAL_ROWS]:
        name = Text(_shorten(f'{row.method} · {row.checkpoint.backbone}'), style='bold')
        name.append(f'\n{_shorten(row.label)}', style='not bold dim')
        table.add_row(name, *(_entry(column, row) for column in columns))
    return table


def _heading(column: Fact | Column) -> str:
    """A word a line, since numbers are narrow."""
    if isinstance(column, Fact):
        return column.title.replace(' ', '\n')
    measure = column.measure.replace('(', '').replace(')', '').strip()
    words = [*column.title.split(), measure, *column.qualifier.replace(' · ', ' ').split()]
    return '\n'.join(filter(None, map(one_line, words)))


def _entry(column: Fact | Column, row: Row) -> Text:
    if isinstance(column, Fact):
        return Text(column.text(row))
    cell, interval = row.cell(column), column.interval(row)
    style = 'bold green' if cell.is_best else 'red' if cell.state == 'failed' else ''
    text = Text(f'{column.text(row)} {cell.marks}'.strip(), style=style)
    return text.append(f'\n{interval}' if interval else '', style='not bold dim')


def _shorten(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _LONGEST_LINE else f'{text[: _LONGEST_LINE - 1]}…'


def _published(board: Leaderboard) -> Iterator[RenderableType]:
    """A table of what is compared with published numbers, and how much is not."""
    pairs, flagged = (board.published.pairs(compared=is_compared) for is_compared in (True, False))
    if pairs:
        frame = pair_frame(pairs[:MOST_PAIRS])[_SHORT_PAIR]
        yield terminal_table(frame, 'Beside published results')
    notes = [NOTES['published']] if pairs or flagged else []
    if len(pairs) > MOST_PAIRS:
        notes.append(f'{plural(len(pairs) - MOST_PAIRS, "further pair")} in published.csv.')
    if flagged:
        count = plural(len(flagged), 'published number')
        notes.append(f'{count} of other protocols beside them in the written leaderboard.')
    yield from (Text(note, style='dim') for note in notes)


def terminal_table(frame: pd.DataFrame, title: str | None = None) -> Table:
    """A frame for a terminal; texts that do not fit are folded, numbers are not."""
    made = Table(
        box=box.SIMPLE_HEAD, header_style='', border_style='dim', title=title,
        title_style='bold', title_justify='left',
    )  # fmt: skip
    for name in frame:
        is_number = KINDS.get(name) == 'number'
        side = 'right' if is_number else 'left'
        made.add_column(name, justify=side, no_wrap=is_number, overflow='fold')
    for line in frame.itertuples(index=False):
        made.add_row(*map(_plain_entry, map(str, line)))
    return made


def _plain_entry(text: str) -> Text:
    first, *small = map(one_line, text.split('\n'))
    return Text(first).append(''.join(f'\n{line}' for line in small), style='not bold dim')
