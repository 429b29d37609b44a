"""The leaderboard as Markdown, LaTeX and CSV."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import pandas as pd

from mim_bench.report.board import (
    FACTS,
    NAMES,
    RANK,
    Cell,
    Column,
    ColumnGroup,
    Fact,
    Leaderboard,
    Row,
)
from mim_bench.report.tables import (
    KINDS,
    NOTES,
    Table,
    conclusion,
    flat,
    plural,
    reading_note,
    run_lines,
    sections,
    summary_line,
)
from mim_bench.report.text import csv_text, latex_text, markdown_text
from mim_bench.results.published import PublishedResult


def board_frame(
    rows: Sequence[Row],
    columns: Sequence[Fact | Column],
    heading: Callable[[Fact | Column], object],
    entry: Callable[[Fact | Column, Row], str],
) -> pd.DataFrame:
    """Rows and columns of the board as the text of one format."""
    headings = [heading(column) for column in columns]
    if headings and isinstance(headings[0], tuple):
        headings = pd.MultiIndex.from_tuples(headings)
    lines = [[entry(column, row) for column in columns] for row in rows]
    return pd.DataFrame(lines, columns=headings, dtype=object)


def result_columns(board: Leaderboard, *, headline: bool) -> list[Fact | Column]:
    """The columns of the results: names, mean rank, facts and headline numbers, or the rest."""
    columns = [column for _, some in board.groups_of(headline=headline) for column in some]
    facts = [*([RANK] if board.shared else []), *FACTS] if headline else []
    return [*NAMES, *facts, *columns]


def render_markdown(board: Leaderboard) -> str:
    """Render the whole leaderboard; the same board gives the same text."""
    parts = ['# Leaderboard', summary_line(board), *(NOTES[f'tier-{tier}'] for tier in board.tiers)]
    parts.append(markdown_text(conclusion(board)))
    parts.append(_markdown_board(board, result_columns(board, headline=True)))
    parts.append(markdown_text(reading_note(board)))
    if board.groups_of(headline=False):
        columns = result_columns(board, headline=False)
        parts += ['## Further metrics', _markdown_board(board, columns)]
    for section in sections(board):
        tables = [table for table in section.tables if not table.is_long]
        if tables or section.columns:
            parts += [f'## {section.title}', section.note]
        if section.columns:
            columns = [column for _, some in section.columns for column in some]
            parts.append(_markdown_board(board, [*NAMES, *columns]))
        parts += [part for table in tables for part in (_markdown_table(table), table.note)]
    return '\n\n'.join(filter(None, parts)) + '\n'


def _to_markdown(frame: pd.DataFrame, is_number: Sequence[bool]) -> str:
    sides = ['right' if one else 'left' for one in is_number]
    return frame.to_markdown(
        index=False, tablefmt='pipe', disable_numparse=True, colalign=sides if len(frame) else None
    )


def _markdown_board(board: Leaderboard, columns: Sequence[Fact | Column]) -> str:
    frame = board_frame(board.rows, columns, _markdown_heading, _markdown_entry)
    return _to_markdown(frame, [column.is_number for column in columns])


def _markdown_heading(column: Fact | Column) -> str:
    if isinstance(column, Fact):
        return markdown_text(column.title)
    return '<br>'.join(map(markdown_text, filter(None, (column.heading, column.qualifier))))


def _markdown_entry(column: Fact | Column, row: Row) -> str:
    text = markdown_text(column.text(row))
    if isinstance(column, Fact):
        return text
    cell, interval = row.cell(column), column.interval(row)
    text = f'**{text}**' if cell.is_best else text
    return f'{text} {cell.marks}'.strip() + (f'<br>{markdown_text(interval)}' if interval else '')


def _markdown_table(table: Table) -> str:
    if table.frame.empty:
        return ''
    frame = table.frame.map(lambda e: '<br>'.join(map(markdown_text, str(e).split('\n'))))
    if 'Link' in frame:
        parts = frame['Source'].str.partition('<br>')
        frame['Source'] = '[' + parts[0] + '](' + table.frame['Link'] + ')' + parts[1] + parts[2]
        frame = frame.drop(columns='Link')
    return _to_markdown(frame, [KINDS.get(name) == 'number' for name in frame])


# As many numbers as a page is wide, and rows as it is high; the other forms have all rows.
MOST_COLUMNS = 6
MOST_ROWS = 60
_LONGEST_NAME = 40
_LATEX_HEAD = r"""% Made by mim-bench report. Needs in the preamble:
%   \usepackage{booktabs}
%   \usepackage{threeparttable}
%   \usepackage{textcomp}
%   \usepackage[T1]{fontenc}"""
_LATEX_TABLE = r"""\begin{table}
\centering\footnotesize\setlength{\tabcolsep}{4pt}
\caption{%s}
\label{tab:leaderboard-%d}
\begin{threeparttable}
%s%s\end{threeparttable}
\end{table}"""


def render_latex(board: Leaderboard) -> str:
    """Render the headline columns, a few a table; protocols stand below each as its notes."""
    caption = latex_text(f'{summary_line(board)}. {reading_note(board, with_intervals=False)}')
    parts = [_LATEX_HEAD]
    for number, groups in enumerate(_latex_chunks(board.groups_of(headline=True)), 1):
        notes = list(_latex_notes(board, [group for group, _ in groups]))
        if notes:
            notes = [r'\begin{tablenotes}\footnotesize', *notes, r'\end{tablenotes}', '']
        text = _latex_tabular(board.rows[:MOST_ROWS], groups)
        parts.append(_LATEX_TABLE % (caption, number, text, '\n'.join(notes)))
    return '\n\n'.join(parts) + '\n'


_Groups = list[tuple[ColumnGroup, list[Column]]]


def _latex_chunks(groups: _Groups) -> Iterator[_Groups]:
    """Groups that fit beside each other; a group is never cut."""
    chunk: _Groups = []
    for group in groups:
        if chunk and sum(len(columns) for _, columns in [*chunk, group]) > MOST_COLUMNS:
            yield chunk
            chunk = []
        chunk.append(group)
    if chunk:
        yield chunk


def _latex_tabular(rows: Sequence[Row], groups: _Groups) -> str:
    titles, rules = {}, []
    for place, (group, columns) in enumerate(groups):
        mark = rf'\tnote{{{chr(ord("a") + place)}}}' if group.protocol is not None else ''
        start = len(NAMES) + len(titles) + 1
        rules.append(rf'\cmidrule(lr){{{start}-{start + len(columns) - 1}}}')
        titles |= dict.fromkeys(columns, latex_text(group.title) + mark)

    def heading(column: Fact | Column) -> tuple[str, str]:
        if isinstance(column, Fact):
            return ('', latex_text(column.title))
        return (titles[column], latex_text(column.short_title + column.measure))

    frame = board_frame(rows, [*NAMES, *titles], heading, _latex_entry)
    sides = 'l' * len(NAMES) + 'r' * len(titles)
    text = frame.to_latex(index=False, escape=False, multicolumn_format='c', column_format=sides)
    first, line, rest = text.partition('\\\\\n')
    return f'{first}{line}{" ".join(rules)}\n{rest}'


def _latex_entry(column: Fact | Column, row: Row) -> str:
    text = column.text(row)
    text = latex_text(text if len(text) <= _LONGEST_NAME else f'{text[: _LONGEST_NAME - 1]}…')
    if isinstance(column, Fact):
        return text
    cell = row.cell(column)
    text = rf'\textbf{{{text}}}' if cell.is_best else text
    return rf'{text}\textsuperscript{{{latex_text(cell.marks)}}}' if cell.marks else text


def _latex_notes(board: Leaderboard, groups: Sequence[ColumnGroup]) -> Iterator[str]:
    for place, group in enumerate(groups):
        if (p := group.protocol) is not None:
            tier = f', {p.tier} tier' if p.tier != 'full' else ''
            facts = f'Protocol {p.name}, version {p.version}, hash {p.hash}{tier}.'
            yield rf'\item[{chr(ord("a") + place)}] {latex_text(facts)}'
    for tier in board.tiers:
        if tier in {group.tier for group in groups}:
            yield rf'\item {latex_text(NOTES[f"tier-{tier}"])}'
    if len(board.rows) > MOST_ROWS and any(group.protocol for group in groups):
        more = plural(len(board.rows) - MOST_ROWS, 'further checkpoint')
        yield rf'\item {latex_text(f"{more} in leaderboard.csv.")}'


def render_csv(board: Leaderboard) -> str:
    """Every cell that is not missing as one line, with unrounded values; costs come last."""
    costs = [column for group in board.costs for column in group.columns]
    return _to_csv(
        _cell_facts(row, column, cell)
        for columns in (board.columns, costs)
        for row in board.rows
        for column in columns
        if (cell := row.cell(column)).state != 'missing'
    )


def render_runs_csv(board: Leaderboard) -> str:
    """Every run as one line, failed ones included; unknown values are empty."""
    return _to_csv(run_lines(board))


def render_published_csv(board: Leaderboard) -> str:
    """Every published result as one line, those that stand beside a row of ours first."""
    section = board.published
    beside = {id(pair.published) for pair in section.comparisons}
    others = [one for one in [*section.near, *section.further] if id(one) not in beside]
    pairs = [
        {
            'checkpoint': pair.row.label,
            'our_protocol': pair.protocol.name,
            'our_protocol_hash': pair.protocol.hash,
            'our_runs': len(pair.cell.runs),
            'ours': pair.cell.value,
            'difference': pair.difference,
            'tolerance': pair.tolerance,
            'verdict': pair.verdict_text,
            **_published_facts(pair.published),
        }
        for pair in section.comparisons
    ]
    return _to_csv([*pairs, *map(_published_facts, others)])


def _published_facts(result: PublishedResult) -> dict[str, object]:
    return {**flat(result), 'link': result.link}


def _to_csv(lines: Iterable[Mapping[str, object]]) -> str:
    """CSV in which no text is a formula; what is not known is empty."""
    safe = [
        {name: csv_text(v) if isinstance(v, str) else v for name, v in line.items()}
        for line in lines
    ]
    return pd.DataFrame(safe, dtype=object).to_csv(index=False, lineterminator='\n')


def _cell_facts(row: Row, column: Column, cell: Cell) -> dict[str, object]:
    run = cell.runs[-1]
    # A sum is of runs of several protocols.
    protocol = None if column.is_sum else run.protocol
    low, high = cell.interval or (None, None)
    saw_labels = 'unknown' if cell.saw_labels is None else cell.saw_labels
    return {
        'checkpoint': row.label,
        'group': row.group,
        **flat(row.checkpoint, 'id', 'known_from'),
        'mean_rank': row.rank,
        'task': column.task if column.is_sum else run.task,
        'metric': column.metric,
        'title': column.title,
        'saw_labels': saw_labels if column.is_ranked else None,
        'state': cell.state,
        'value': cell.value,
        'n': None if column.is_sum else len(cell.runs),
        'sd': cell.sd,
        'ci_low': low,
        'ci_high': high,
        'ci_of': cell.interval_of,
        'not_distinguishable': cell.is_tied,
        'unit': column.unit,
        'higher_is_better': column.higher_is_better,
        'is_best': cell.is_best,
        'protocol': protocol and protocol.name,
        'protocol_version': protocol and protocol.version,
        'protocol_hash': protocol and protocol.hash,
        'tier': protocol and protocol.tier,
        'runs': ' '.join(r.run_id for r in cell.runs),
        'seeds': ' '.join(str(r.seed) for r in cell.runs),
        'started_at': run.started_at,
        'device': run.cost.device,
        'error': run.error,
        'note': cell.tip,
        **{name: row.links.get(name) for name in ('paper', 'code', 'weights')},
    }
