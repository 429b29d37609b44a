"""The leaderboard as Markdown: tables, protocols, what failed and what was left out."""

from collections.abc import Iterable, Sequence

from mim_bench.report.leaderboard import (
    Cell,
    Column,
    Leaderboard,
    format_cell,
    format_heading,
)
from mim_bench.report.plain_text import markdown_text
from mim_bench.report.provenance import protocol_lines
from mim_bench.report.wording import READING_NOTE, TIER_NOTES, summary_line


def render_markdown(board: Leaderboard) -> str:
    """Render the whole leaderboard; the same board gives the same text."""
    parts = ['# Leaderboard', summary_line(board), *(TIER_NOTES[tier] for tier in board.tiers)]
    parts += [_board_table(board, headline=True), READING_NOTE]
    if board.groups_of(headline=False):
        parts += ['## Further metrics', _board_table(board, headline=False)]
    parts += ['## Protocols', _protocol_table(board)]
    if board.failed:
        rows = [(r.run_id, r.task, r.checkpoint.id, r.error or '') for r in board.failed]
        parts += ['## Failed runs', _table(('Run', 'Task', 'Checkpoint', 'Error'), _plain(rows))]
    if board.damaged:
        rows = [(file.path, file.reason) for file in board.damaged]
        parts += ['## Records left out', _table(('File', 'Reason'), _plain(rows))]
    return '\n\n'.join(parts) + '\n'


def _plain(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    return [[markdown_text(text) for text in row] for row in rows]


def _table(headings: Sequence[str], rows: list[list[str]], num_text: int | None = None) -> str:
    """A table of ready cells; columns from ``num_text`` on hold numbers, to the right."""
    num_text = len(headings) if num_text is None else num_text
    rule = ['---' if index < num_text else '---:' for index in range(len(headings))]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in [headings, rule, *rows])


def _board_table(board: Leaderboard, *, headline: bool) -> str:
    columns = [c for group in board.groups_of(headline=headline) for c in group.columns]
    headings = ['Method', 'Backbone', 'Checkpoint', *map(_heading, columns)]
    rows = []
    for row in board.rows:
        names = _plain([(row.method, row.checkpoint.backbone, row.label)])[0]
        rows.append([*names, *(_cell(row.cell(column), column) for column in columns)])
    return _table(headings, rows, num_text=3)


def _heading(column: Column) -> str:
    text = markdown_text(format_heading(column))
    return f'{text}<br>{markdown_text(column.qualifier)}' if column.qualifier else text


def _cell(cell: Cell, column: Column) -> str:
    text = markdown_text(format_cell(cell, column))
    return f'**{text}**' if cell.is_best else text


def _protocol_table(board: Leaderboard) -> str:
    headings = ('Columns', 'Task', 'Protocol', 'Version', 'Hash', 'Tier')
    rows = []
    for line in protocol_lines(board):
        protocol = line.protocol
        fields = (protocol.name, protocol.version, protocol.hash, protocol.tier)
        rows.append((line.columns, line.task, *fields))
    return _table(headings, _plain(rows))
