"""The leaderboard as tables for a terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from mim_bench.report.board import Leaderboard
from mim_bench.report.sections import MOST_PAIRS, PUBLISHED_NOTE, SHORT_PAIR, published_tables
from mim_bench.report.tables import (
    FACTS,
    NAMES,
    READING_NOTE,
    TIER_NOTES,
    Entry,
    Heading,
    Table,
    conclusion,
    marks_note,
    order_note,
    plural,
    results_table,
    summary_line,
)
from mim_bench.report.text import one_line

# More rows scroll away in a terminal; the written forms have all.
MOST_TERMINAL_ROWS = 200
_LONGEST_LINE = 36
# Space that rich puts around the content of a column.
_COLUMN_EXTRA = 3


def print_leaderboard(board: Leaderboard, console: Console) -> None:
    """Print the board; numbers are never cut off, wide boards become several tables."""
    console.print(render_terminal(board, console.width))


def render_terminal(board: Leaderboard, width: int) -> RenderableType:
    """The tables and notes as something that rich prints on lines of ``width`` characters."""
    table = results_table(board)
    shown = [heading for heading in table.headings if heading not in FACTS]
    numbers = [heading for heading in shown if heading not in NAMES]
    picked = table.pick([*NAMES, *numbers], MOST_TERMINAL_ROWS)
    parts: list[RenderableType] = [Text('Leaderboard', style='bold'), Text(summary_line(board))]
    parts += [Text(TIER_NOTES[tier], style='yellow') for tier in board.tiers]
    parts += [*_terminal_tables(picked, width), Text(one_line(conclusion(board)))]
    dim = [' '.join(filter(None, (READING_NOTE, one_line(order_note(board)), marks_note(board))))]
    if len(board.rows) > MOST_TERMINAL_ROWS:
        more = plural(len(board.rows) - MOST_TERMINAL_ROWS, 'further checkpoint')
        dim.append(f'{more} in the written leaderboard.')
    num_further = sum(not column.is_headline for column in board.columns)
    if num_further:
        dim.append(f'{plural(num_further, "further metric")} in the written leaderboard.')
    parts += [Text(line, style='dim') for line in dim]
    parts += _terminal_published(board)
    lines = [('cyan', kind, text) for kind, text in board.collection.notes]
    lines += [('red', 'failed', f'{run.run_id}: {run.error or ""}') for run in board.failed]
    lines += [('yellow', 'left out', f'{file.path}: {file.reason}') for file in board.damaged]
    parts += [Text(f'{kind}: {one_line(text)}', style=style) for style, kind, text in lines]
    return Padding(Group(*parts), (1, 0))


def _terminal_tables(table: Table, width: int) -> Iterator[RichTable]:
    """The table, cut into as many as its width needs, each with the names of the rows."""
    names = []
    for method, backbone, label in (line[:3] for line in table.lines):
        name = Text(_shorten(f'{method.text} · {backbone.text}'), style='bold')
        names.append(name.append(f'\n{_shorten(label.text)}', style='not bold dim'))
    name_width = max((len(line) for name in names for line in name.plain.split('\n')), default=10)
    room = width - name_width - _COLUMN_EXTRA - 2
    chunk, used = [], 0
    for place in range(len(NAMES), len(table.headings)):
        cells = [_terminal_entry(line[place]).plain for line in table.lines]
        lines = [_terminal_heading(table.headings[place]), *cells]
        needed = max(len(line) for text in lines for line in text.split('\n')) + _COLUMN_EXTRA
        if chunk and used + needed > room:
            yield _terminal_table(table, names, chunk)
            chunk, used = [], 0
        chunk.append(place)
        used += needed
    yield _terminal_table(table, names, chunk)


def _terminal_table(table: Table, names: Sequence[Text], places: Sequence[int]) -> RichTable:
    made = RichTable(box=box.SIMPLE_HEAD, header_style='', border_style='dim', leading=1)
    made.add_column('Checkpoint', no_wrap=True, vertical='bottom')
    for place in places:
        heading = Text(_terminal_heading(table.headings[place]))
        made.add_column(heading, justify='right', no_wrap=True)
    for name, line in zip(names, table.lines, strict=True):
        made.add_row(name, *(_terminal_entry(line[place]) for place in places))
    return made


def _terminal_heading(heading: Heading) -> str:
    column = heading.column
    if column is None:
        return heading.text.replace(' ', '\n')
    unit = one_line(column.heading.removeprefix(column.title)).replace('(', '').replace(')', '')
    words = [
        *one_line(column.title).split(' '),
        unit,
        *column.qualifier.replace(' · ', ' ').split(),
    ]
    return '\n'.join(word for word in words if word)


def _terminal_entry(entry: Entry) -> Text:
    style = 'bold green' if entry.is_best else 'red' if entry.cell.state == 'failed' else ''
    text = Text(one_line(f'{entry.text} {entry.marks}'), style=style)
    for line in entry.small:
        text.append(f'\n{one_line(line)}', style='not bold dim')
    return text


def _shorten(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _LONGEST_LINE else f'{text[: _LONGEST_LINE - 1]}…'


def _terminal_published(board: Leaderboard) -> Iterator[RenderableType]:
    """A table of what is compared with published numbers, and how much is not."""
    section = board.published
    tables = {table.name: table for table in published_tables(board)}
    if 'compared' in tables:
        table = tables['compared'].pick(SHORT_PAIR)
        yield terminal_table(replace(table, title='Beside published results'))
        if len(section.compared) > MOST_PAIRS:
            yield Text(tables['compared'].note, style='dim')
    if section.comparisons:
        yield Text(PUBLISHED_NOTE, style='dim')
    if section.flagged:
        count = plural(len(section.flagged), 'published number')
        note = f'{count} of other protocols beside them in the written leaderboard.'
        yield Text(note, style='dim')


def terminal_table(table: Table) -> RichTable:
    """A plain table for a terminal; texts that do not fit are folded, numbers are not."""
    made = RichTable(
        box=box.SIMPLE_HEAD, header_style='', border_style='dim', title=table.title or None,
        title_style='bold', title_justify='left',
    )  # fmt: skip
    for heading in table.headings:
        is_number = heading.kind == 'number'
        side = 'right' if is_number else 'left'
        made.add_column(heading.text, justify=side, no_wrap=is_number, overflow='fold')
    for line in table.lines:
        made.add_row(*map(_terminal_entry, line))
    return made
