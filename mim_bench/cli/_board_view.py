"""The leaderboard in a terminal."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mim_bench.report.board import RANK, Board, Column
from mim_bench.report.notes import NOTES, conclusion, plural, reading_note, summary_line
from mim_bench.report.tables import KINDS, published_tables
from mim_bench.report.text import one_line

# More rows scroll away in a terminal; the written forms have all.
MOST_TERMINAL_ROWS = 200
_LONGEST_LINE = 36
# What a terminal has room for of a pair with a published number.
_SHORT_PAIR = ['Checkpoint', 'Ours', 'Published', 'Difference', 'Verdict', 'Source']
_LOOK = {'box': box.SIMPLE_HEAD, 'header_style': '', 'border_style': 'dim'}


def print_leaderboard(board: Board, console: Console) -> None:
    """Print the board; numbers are never cut off, wide boards become several tables."""
    console.print(Padding(Group(*_parts(board, console)), (1, 0)))


def _parts(board: Board, console: Console) -> Iterator[RenderableType]:
    yield Text('Leaderboard', style='bold')
    yield Text(summary_line(board))
    yield from (Text(NOTES[f'tier-{tier}'], style='yellow') for tier in board.tiers)
    yield from _tables(board, console)
    yield Text(one_line(conclusion(board)))
    notes = [one_line(reading_note(board))]
    for count, noun in (
        (len(board.rows) - MOST_TERMINAL_ROWS, 'further checkpoint'),
        (len(board.results(headline=False)), 'further metric'),
    ):
        if count > 0:
            notes.append(f'{plural(count, noun)} in the written leaderboard.')
    yield Text('\n'.join(notes), style='dim')
    for table in published_tables(board):
        if table.is_folded:
            yield Text(f'{table.title}: in the written leaderboard.', style='dim')
        else:
            yield terminal_table(table.frame[_SHORT_PAIR], table.title)
            yield Text(f'{NOTES["published"]} {table.note}'.strip(), style='dim')
    lines = [('cyan', kind, text) for kind, text in board.collection.notes]
    lines += [('red', 'failed', f'{run.run_id}: {run.error or ""}') for run in board.failed]
    lines += [('yellow', 'left out', f'{file.path}: {file.reason}') for file in board.damaged]
    yield from (Text(f'{kind}: {one_line(text)}', style=style) for style, kind, text in lines)


def _tables(board: Board, console: Console) -> Iterator[Table]:
    """As many tables as the width needs, each with the names of the rows."""
    headings = {RANK: RANK.replace(' ', '\n')} if board.shared else {}
    headings |= {place: _heading(board.columns[place]) for place in board.results(headline=True)}
    grid = board.grid({name: name for name in headings}, _entry)[:MOST_TERMINAL_ROWS]
    counts = Counter(map(_shorten, grid.index))
    names = [
        Text(_shorten(f'{method} · {backbone}'), style='bold').append(
            # No two rows may look alike.
            f'\n{one_line(label) if counts[_shorten(label)] > 1 else _shorten(label)}',
            style='not bold dim',
        )
        for label, method, backbone in board.rows.loc[
            grid.index, ['Method', 'Backbone']
        ].itertuples()
    ]

    def table_of(some: Sequence[object]) -> Table:
        table = Table(**_LOOK, leading=1)
        table.add_column('Checkpoint', no_wrap=True, vertical='bottom')
        for name in some:
            table.add_column(Text(headings[name]), justify='right', no_wrap=True)
        for name, line in zip(names, grid[list(some)].itertuples(index=False), strict=True):
            table.add_row(name, *line)
        return table

    def width_of(some: Sequence[object]) -> int:
        return table_of(some).__rich_measure__(console, wide).maximum

    wide = console.options.update(width=10_000)
    used = width_of([])
    chunk, free = [], console.width - used
    for name in headings:
        needed = width_of([name]) - used
        if chunk and needed > free:
            yield table_of(chunk)
            chunk, free = [], console.width - used
        chunk.append(name)
        free -= needed
    yield table_of(chunk)


def _heading(column: Column) -> str:
    """A word a line, since numbers are narrow."""
    measure = column.measure.replace('(', '').replace(')', '').strip()
    words = [*column.title.split(), measure, *column.qualifier.replace(' · ', ' ').split()]
    return '\n'.join(filter(None, map(one_line, words)))


def _entry(cell: Any) -> Text:
    style = 'bold green' if cell.is_best else 'red' if cell.state == 'failed' else ''
    text = Text(f'{cell.text} {cell.marks}'.strip(), style=style)
    return text.append(f'\n{cell.interval}' if cell.interval else '', style='not bold dim')


def _shorten(text: str) -> str:
    """A line without its middle if it is long: names differ at their ends, and end in folders."""
    text, half = one_line(text), _LONGEST_LINE // 2
    return text if len(text) <= _LONGEST_LINE else f'{text[: half - 1]}…{text[-half:]}'


def terminal_table(frame: pd.DataFrame, title: str | None = None) -> Table:
    """A frame for a terminal; texts that do not fit are folded, numbers are not."""
    made = Table(**_LOOK, title=title, title_style='bold', title_justify='left')
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
