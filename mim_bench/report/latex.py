"""The leaderboard as LaTeX tables with booktabs, a few task columns a table."""

from collections.abc import Iterator, Sequence

from mim_bench.report.latex_text import latex_text
from mim_bench.report.leaderboard import (
    Cell,
    Column,
    ColumnGroup,
    Leaderboard,
    Row,
    format_cell,
    format_marks,
)
from mim_bench.report.wording import READING_NOTE, TIER_NOTES, marks_note, plural, summary_line

# As many numbers as a page is wide, and rows as it is high; the other forms have all rows.
MOST_COLUMNS = 6
MOST_ROWS = 60
_LONGEST_NAME = 40

_HEAD = r"""% Made by mim-bench report. Needs in the preamble:
%   \usepackage{booktabs}
%   \usepackage{threeparttable}
%   \usepackage{textcomp}
%   \usepackage[T1]{fontenc}"""


def render_latex(board: Leaderboard) -> str:
    """Render the headline columns; protocols stand below each table as its notes."""
    parts = [_HEAD]
    groups = board.groups_of(headline=True)
    for number, chunk in enumerate(_chunks(groups), 1):
        parts.append('\n'.join(_table(board, chunk, number)))
    return '\n\n'.join(parts) + '\n'


def _chunks(groups: Sequence[ColumnGroup]) -> Iterator[list[ColumnGroup]]:
    """Groups that fit beside each other; a group is never cut."""
    chunk: list[ColumnGroup] = []
    for group in groups:
        used = sum(len(other.columns) for other in chunk)
        if chunk and used + len(group.columns) > MOST_COLUMNS:
            yield chunk
            chunk = []
        chunk.append(group)
    if chunk:
        yield chunk


def _table(board: Leaderboard, groups: list[ColumnGroup], number: int) -> Iterator[str]:
    columns = [column for group in groups for column in group.columns]
    marks = marks_note(board, with_intervals=False)
    caption = f'{summary_line(board)}. {READING_NOTE} {marks}'.strip()
    yield r'\begin{table}'
    yield r'\centering\footnotesize\setlength{\tabcolsep}{4pt}'
    yield rf'\caption{{{latex_text(caption)}}}'
    yield rf'\label{{tab:leaderboard-{number}}}'
    yield r'\begin{threeparttable}'
    yield rf'\begin{{tabular}}{{lll{"r" * len(columns)}}}'
    yield r'\toprule'
    yield from _headings(groups)
    yield r'\midrule'
    for row in board.rows[:MOST_ROWS]:
        names = [_name(text) for text in (row.method, row.checkpoint.backbone, row.label)]
        yield _line([*names, *(_cell(row, column) for column in columns)])
    yield r'\bottomrule'
    yield r'\end{tabular}'
    if notes := list(_notes(board, groups)):
        yield r'\begin{tablenotes}\footnotesize'
        yield from notes
        yield r'\end{tablenotes}'
    yield r'\end{threeparttable}'
    yield r'\end{table}'


def _name(text: str) -> str:
    """A name, cut where it would push the numbers off the page."""
    return latex_text(text if len(text) <= _LONGEST_NAME else f'{text[: _LONGEST_NAME - 1]}…')


def _line(cells: Sequence[str]) -> str:
    return ' & '.join(cells) + r' \\'


def _headings(groups: list[ColumnGroup]) -> Iterator[str]:
    """Titles of the groups with the letters of their notes, rules below them, and columns."""
    titles, rules, start = [], [], 4
    for place, group in enumerate(groups):
        count = len(group.columns)
        mark = rf'\tnote{{{_letter(place)}}}' if group.protocol is not None else ''
        titles.append(rf'\multicolumn{{{count}}}{{c}}{{{latex_text(group.title)}{mark}}}')
        rules.append(rf'\cmidrule(lr){{{start}-{start + count - 1}}}')
        start += count
    yield _line([r'\multicolumn{3}{l}{}', *titles])
    yield ' '.join(rules)
    columns = [column for group in groups for column in group.columns]
    yield _line(['Method', 'Backbone', 'Checkpoint', *map(_column_title, columns)])


def _letter(place: int) -> str:
    return chr(ord('a') + place)


def _column_title(column: Column) -> str:
    unit = f' ({column.unit})' if column.unit else ''
    arrow = (' ↑' if column.higher_is_better else ' ↓') if column.is_ranked else ''
    return latex_text(f'{column.short_title}{unit}{arrow}')


def _cell(row: Row, column: Column) -> str:
    cell: Cell = row.cell(column)
    text = latex_text(format_cell(cell, column))
    marks = format_marks(cell)
    if cell.is_best:
        text = rf'\textbf{{{text}}}'
    return rf'{text}\textsuperscript{{{latex_text(marks)}}}' if marks else text


def _notes(board: Leaderboard, groups: list[ColumnGroup]) -> Iterator[str]:
    for place, group in enumerate(groups):
        protocol = group.protocol
        if protocol is None:
            continue
        facts = f'{protocol.name}, version {protocol.version}, hash {protocol.hash}'
        tier = f', {protocol.tier} tier' if protocol.tier != 'full' else ''
        yield rf'\item[{_letter(place)}] {latex_text(f"Protocol {facts}{tier}.")}'
    tiers = {group.protocol.tier for group in groups if group.protocol is not None}
    for tier in board.tiers:
        if tier in tiers:
            yield rf'\item {latex_text(TIER_NOTES[tier])}'
    if len(board.rows) > MOST_ROWS:
        num_more = plural(len(board.rows) - MOST_ROWS, 'further checkpoint')
        yield rf'\item {latex_text(f"{num_more} in leaderboard.csv.")}'
