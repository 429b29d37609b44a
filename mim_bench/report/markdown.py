"""The leaderboard as Markdown: tables, protocols, what failed and what was left out."""

from collections.abc import Iterable, Sequence

from mim_bench.report.comparison import PublishedSection
from mim_bench.report.leaderboard import (
    Cell,
    Column,
    ColumnGroup,
    Leaderboard,
    format_cell,
    format_heading,
    format_interval,
    format_marks,
)
from mim_bench.report.plain_text import markdown_text
from mim_bench.report.provenance import protocol_lines
from mim_bench.report.proxy import NO_PAIRS, PROXY_NOTE, has_proxies, proxy_pairs
from mim_bench.report.wording import (
    COST_NOTE,
    MOST_PAIRS,
    PUBLISHED_NOTE,
    READING_NOTE,
    TIER_NOTES,
    further_pairs,
    marks_note,
    published_value,
    summary_line,
)


def render_markdown(board: Leaderboard) -> str:
    """Render the whole leaderboard; the same board gives the same text."""
    parts = ['# Leaderboard', summary_line(board), *(TIER_NOTES[tier] for tier in board.tiers)]
    parts += [
        _board_table(board, board.groups_of(headline=True)),
        f'{READING_NOTE} {marks_note(board)}'.strip(),
    ]
    if board.groups_of(headline=False):
        parts += ['## Further metrics', _board_table(board, board.groups_of(headline=False))]
    if board.published.comparisons:
        parts += ['## Beside published results', *_published_parts(board.published)]
    if board.costs:
        parts += ['## Cost', _board_table(board, board.costs), COST_NOTE]
    if has_proxies(board):
        parts += ['## How well the proxy ranks', *_proxy_parts(board)]
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


def _board_table(board: Leaderboard, groups: Sequence[ColumnGroup]) -> str:
    columns = [column for group in groups for column in group.columns]
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
    text = f'**{text}**' if cell.is_best else text
    text = f'{text} {format_marks(cell)}'.strip()
    interval = format_interval(cell, column)
    return f'{text}<br>{markdown_text(interval)}' if interval else text


def _published_parts(section: PublishedSection) -> list[str]:
    """What is compared, then what is not, as far as a page shows them."""
    headings = ('Checkpoint', 'Metric', 'Verdict', 'Source', 'Ours', 'Published', 'Difference')
    pairs = [*section.compared, *section.flagged]
    rows = []
    for pair in pairs[:MOST_PAIRS]:
        texts = (pair.row, pair.title, pair.verdict_text, pair.published.label)
        numbers = (f'{pair.ours:.2f}', published_value(pair.published.value), pair.difference_text)
        rows.append((*texts, *numbers))
    further = [further_pairs(len(pairs))] if len(pairs) > MOST_PAIRS else []
    return [_table(headings, _plain(rows), num_text=4), *further, PUBLISHED_NOTE]


def _proxy_parts(board: Leaderboard) -> list[str]:
    pairs = proxy_pairs(board)
    if not pairs:
        return [NO_PAIRS]
    rows = []
    for pair in pairs:
        names = [_heading(column) for column in (pair.proxy, pair.full)]
        numbers = (f'{pair.correlation.n:,}', pair.tau_text, pair.p_text)
        rows.append([*names, *map(markdown_text, numbers)])
    headings = ('Proxy', 'Full', 'Rows with both', "Kendall's tau", 'p')
    return [_table(headings, rows, num_text=2), PROXY_NOTE]


def _protocol_table(board: Leaderboard) -> str:
    headings = ('Columns', 'Task', 'Protocol', 'Version', 'Hash', 'Tier')
    rows = []
    for line in protocol_lines(board):
        protocol = line.protocol
        fields = (protocol.name, protocol.version, protocol.hash, protocol.tier)
        rows.append((line.columns, line.task, *fields))
    return _table(headings, _plain(rows))
