"""The leaderboard as tables for a terminal, cut into as many as its width needs."""

from collections.abc import Sequence
from dataclasses import replace

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mim_bench.report.comparison import Comparison
from mim_bench.report.leaderboard import (
    Cell,
    Column,
    Leaderboard,
    Row,
    format_cell,
    format_interval,
    format_marks,
)
from mim_bench.report.plain_text import one_line
from mim_bench.report.wording import (
    MOST_PAIRS,
    PUBLISHED_NOTE,
    READING_NOTE,
    TIER_NOTES,
    further_pairs,
    marks_note,
    plural,
    published_value,
    summary_line,
)

_LONGEST_NAME = 36
# More scroll away; the written forms have all.
_MOST_ROWS = 200
# Space that rich puts around the content of a column.
_COLUMN_EXTRA = 3


def print_leaderboard(board: Leaderboard, console: Console) -> None:
    """Print the board; numbers are never cut off, wide boards become several tables."""
    console.print(render_terminal(board, console.width))


def render_terminal(board: Leaderboard, width: int) -> RenderableType:
    """The tables and notes as something that rich prints.

    Args:
        board: What to show.
        width: Characters to a line.
    """
    parts: list[RenderableType] = [Text('Leaderboard', style='bold'), Text(summary_line(board))]
    parts += [Text(TIER_NOTES[tier], style='yellow') for tier in board.tiers]
    columns = [c for group in board.groups_of(headline=True) for c in group.columns]
    parts += _tables(replace(board, rows=board.rows[:_MOST_ROWS]), columns, width)
    if len(board.rows) > _MOST_ROWS:
        count = plural(len(board.rows) - _MOST_ROWS, 'further checkpoint')
        parts.append(Text(f'{count} in the written leaderboard.', style='dim'))
    parts.append(Text(f'{READING_NOTE} {marks_note(board)}'.strip(), style='dim'))
    num_further = len(board.columns) - len(columns)
    if num_further:
        note = f'{plural(num_further, "further metric")} in the written leaderboard.'
        parts.append(Text(note, style='dim'))
    parts += _published_parts(board)
    parts += [
        Text(f'failed: {one_line(r.run_id)}: {one_line(r.error or "")}', style='red')
        for r in board.failed
    ]
    parts += [
        Text(f'left out: {one_line(file.path)}: {one_line(file.reason)}', style='yellow')
        for file in board.damaged
    ]
    return Padding(Group(*parts), (1, 0))


def _tables(board: Leaderboard, columns: list[Column], width: int) -> list[Table]:
    names = [_name(row) for row in board.rows]
    name_width = max((len(line) for name in names for line in name.plain.split('\n')), default=10)
    room = width - name_width - _COLUMN_EXTRA - 2
    tables, chunk, used = [], [], 0
    for column in columns:
        column_width = _width(board, column) + _COLUMN_EXTRA
        if chunk and used + column_width > room:
            tables.append(_table(board, names, chunk))
            chunk, used = [], 0
        chunk.append(column)
        used += column_width
    return [*tables, _table(board, names, chunk)]


def _name(row: Row) -> Text:
    backbone = one_line(row.checkpoint.backbone)
    name = Text(_shorten(f'{one_line(row.method)} · {backbone}'), style='bold')
    return name.append(f'\n{_shorten(one_line(row.label))}', style='not bold dim')


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f'{text[: _LONGEST_NAME - 1]}…'


def _heading_lines(column: Column) -> list[str]:
    arrow = (' ↑' if column.higher_is_better else ' ↓') if column.is_ranked else ''
    lines = one_line(column.title).split(' ')
    return [
        *lines,
        f'{one_line(column.unit)}{arrow}'.strip(),
        *column.qualifier.replace(' · ', ' ').split(' '),
    ]


def _width(board: Leaderboard, column: Column) -> int:
    cells = [_cell_lines(row.cell(column), column) for row in board.rows]
    return max(len(text) for lines in [_heading_lines(column), *cells] for text in lines)


def _table(board: Leaderboard, names: list[Text], columns: list[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style='', border_style='dim', leading=1)
    table.add_column('Checkpoint', no_wrap=True, vertical='bottom')
    for column in columns:
        heading = Text('\n'.join(line for line in _heading_lines(column) if line))
        table.add_column(heading, justify='right', no_wrap=True)
    for row, name in zip(board.rows, names, strict=True):
        table.add_row(name, *(_cell(row.cell(column), column) for column in columns))
    return table


def _cell(cell: Cell, column: Column) -> Text:
    style = 'bold green' if cell.is_best else 'red' if cell.state == 'failed' else ''
    value, *interval = _cell_lines(cell, column)
    text = Text(value, style=style)
    return text.append(f'\n{interval[0]}', style='not bold dim') if interval else text


def _cell_lines(cell: Cell, column: Column) -> list[str]:
    value = f'{format_cell(cell, column)} {format_marks(cell)}'.strip()
    return [line for line in (value, format_interval(cell, column)) if line]


_VERDICT_STYLES = {
    'reproduced': 'green',
    'above': 'cyan',
    'below': 'yellow',
    'other protocol': 'dim',
}


def _published_parts(board: Leaderboard) -> list[RenderableType]:
    """A table of what is compared, and how much is not."""
    section = board.published
    if not section.comparisons:
        return []
    parts: list[RenderableType] = []
    if section.compared:
        parts.append(_published_table(section.compared[:MOST_PAIRS]))
    if len(section.compared) > MOST_PAIRS:
        parts.append(Text(further_pairs(len(section.compared)), style='dim'))
    parts.append(Text(PUBLISHED_NOTE, style='dim'))
    if section.flagged:
        count = plural(len(section.flagged), 'published number')
        note = f'{count} of other protocols beside them in the written leaderboard.'
        parts.append(Text(note, style='dim'))
    return parts


def _published_table(pairs: Sequence[Comparison]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, header_style='', border_style='dim', title='Beside published results',
        title_style='bold', title_justify='left',
    )  # fmt: skip
    table.add_column('Checkpoint', overflow='fold')
    for heading in ('Ours', 'Published', 'Difference'):
        table.add_column(heading, justify='right', no_wrap=True)
    table.add_column('Verdict, source', overflow='fold', min_width=14)
    for pair in pairs:
        name = Text(one_line(pair.row), style='bold').append(
            f'\n{one_line(pair.title)}', 'not bold'
        )
        verdict = Text(one_line(pair.verdict_text), style=_VERDICT_STYLES[pair.verdict])
        verdict.append(f'\n{one_line(pair.published.label)}', style='dim')
        numbers = (f'{pair.ours:.2f}', published_value(pair.published.value), pair.difference_text)
        table.add_row(name, *numbers, verdict)
    return table
