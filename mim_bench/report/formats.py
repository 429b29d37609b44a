"""The leaderboard as Markdown, LaTeX and CSV."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from mim_bench.report.board import Cell, Column, ColumnGroup, Leaderboard, Row
from mim_bench.report.published import Comparison
from mim_bench.report.sections import checkpoint_facts, runs_frame, text_sections
from mim_bench.report.tables import (
    NAMES,
    READING_NOTE,
    TIER_NOTES,
    Entry,
    Heading,
    Table,
    conclusion,
    labels_note,
    marks_note,
    order_note,
    plural,
    results_table,
    summary_line,
)
from mim_bench.report.text import csv_text, latex_text, markdown_text
from mim_bench.results.published import PublishedResult


def render_markdown(board: Leaderboard) -> str:
    """Render the whole leaderboard; the same board gives the same text."""
    parts = ['# Leaderboard', summary_line(board), *(TIER_NOTES[tier] for tier in board.tiers)]
    parts += [markdown_text(conclusion(board)), _markdown_table(results_table(board))]
    notes = (READING_NOTE, markdown_text(order_note(board)), marks_note(board))
    parts.append(' '.join(note for note in notes if note))
    if board.groups_of(headline=False):
        parts += ['## Further metrics', _markdown_table(results_table(board, headline=False))]
    for section in text_sections(board):
        tables = [table for table in section.tables if not table.is_long]
        if not tables and section.tables:
            continue
        parts += [f'## {section.title}', *([section.note] if section.note else [])]
        for table in tables:
            parts += [_markdown_table(table), *([table.note] if table.note else [])]
    return '\n\n'.join(parts) + '\n'


def _markdown_table(table: Table) -> str:
    frame = table.frame(_markdown_heading, _markdown_entry)
    sides = ['right' if heading.kind == 'number' else 'left' for heading in table.headings]
    return frame.to_markdown(
        index=False, tablefmt='pipe', disable_numparse=True, colalign=sides if len(frame) else None
    )


def _markdown_heading(heading: Heading) -> str:
    column = heading.column
    if column is None:
        return markdown_text(heading.text)
    qualifier = f'<br>{markdown_text(column.qualifier)}' if column.qualifier else ''
    return markdown_text(column.heading) + qualifier


def _markdown_entry(entry: Entry) -> str:
    text = markdown_text(entry.text)
    text = f'**{text}**' if entry.is_best else text
    text = f'[{text}]({entry.link})' if entry.link else text
    return '<br>'.join([f'{text} {entry.marks}'.strip(), *map(markdown_text, entry.small)])


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
    table = results_table(board)
    caption = f'{summary_line(board)}. {READING_NOTE} {marks_note(board, with_intervals=False)}'
    parts = [_LATEX_HEAD]
    for number, groups in enumerate(_latex_chunks(board.groups_of(headline=True)), 1):
        keys = {group.key for group in groups}
        numbers = [h for h in table.headings if h.group is not None and h.group.key in keys]
        shown = table.pick([*NAMES, *numbers], MOST_ROWS)
        notes = list(_latex_notes(board, groups))
        if notes:
            notes = [r'\begin{tablenotes}\footnotesize', *notes, r'\end{tablenotes}', '']
        text = _latex_tabular(shown, groups)
        parts.append(_LATEX_TABLE % (latex_text(caption.strip()), number, text, '\n'.join(notes)))
    return '\n\n'.join(parts) + '\n'


def _latex_chunks(groups: Sequence[ColumnGroup]) -> Iterator[list[ColumnGroup]]:
    """Groups that fit beside each other; a group is never cut."""
    chunk: list[ColumnGroup] = []
    for group in groups:
        if chunk and sum(len(g.columns) for g in [*chunk, group]) > MOST_COLUMNS:
            yield chunk
            chunk = []
        chunk.append(group)
    if chunk:
        yield chunk


def _latex_tabular(table: Table, groups: Sequence[ColumnGroup]) -> str:
    letters = {group.key: chr(ord('a') + place) for place, group in enumerate(groups)}

    def heading(one: Heading) -> tuple[str, str]:
        if one.column is None:
            return ('', latex_text(one.text))
        has_note = one.group.protocol is not None
        mark = rf'\tnote{{{letters[one.group.key]}}}' if has_note else ''
        short = one.column.heading.replace(one.column.title, one.column.short_title, 1)
        return (latex_text(one.group.title) + mark, latex_text(short))

    frame = table.frame(heading, _latex_entry)
    count = len(table.headings) - len(NAMES)
    text = frame.to_latex(
        index=False, escape=False, multicolumn_format='c', column_format='l' * 3 + 'r' * count
    )
    rules, start = [], len(NAMES) + 1
    for group in groups:
        rules.append(rf'\cmidrule(lr){{{start}-{start + len(group.columns) - 1}}}')
        start += len(group.columns)
    lines = text.splitlines()
    lines.insert(
        next(i for i, line in enumerate(lines) if line.endswith(r'\\')) + 1, ' '.join(rules)
    )
    return '\n'.join(lines) + '\n'


def _latex_entry(entry: Entry) -> str:
    text = entry.text
    text = text if len(text) <= _LONGEST_NAME else f'{text[: _LONGEST_NAME - 1]}…'
    text = rf'\textbf{{{latex_text(text)}}}' if entry.is_best else latex_text(text)
    return rf'{text}\textsuperscript{{{latex_text(entry.marks)}}}' if entry.marks else text


def _latex_notes(board: Leaderboard, groups: Sequence[ColumnGroup]) -> Iterator[str]:
    for place, group in enumerate(groups):
        if (p := group.protocol) is not None:
            tier = f', {p.tier} tier' if p.tier != 'full' else ''
            facts = f'Protocol {p.name}, version {p.version}, hash {p.hash}{tier}.'
            yield rf'\item[{chr(ord("a") + place)}] {latex_text(facts)}'
    for tier in board.tiers:
        if tier in {group.tier for group in groups}:
            yield rf'\item {latex_text(TIER_NOTES[tier])}'
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
    return _to_csv(runs_frame(board).to_dict('records'))


def render_published_csv(board: Leaderboard) -> str:
    """Every published result as one line, those that stand beside a row of ours first."""
    section = board.published
    beside = {id(pair.published) for pair in section.comparisons}
    others = [one for one in [*section.near, *section.further] if id(one) not in beside]
    lines = [_pair_facts(pair) | _published_facts(pair.published) for pair in section.comparisons]
    return _to_csv([*lines, *(_NO_PAIR | _published_facts(result) for result in others)])


def _to_csv(lines: Iterable[Mapping[str, object]]) -> str:
    """CSV in which no text is a formula."""
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
        **checkpoint_facts(row.checkpoint),
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
        'note': cell.note or labels_note(cell),
        **{name: row.links.get(name) for name in ('paper', 'code', 'weights')},
    }


_NO_PAIR = dict.fromkeys(
    ('checkpoint', 'our_protocol', 'our_protocol_hash', 'our_runs', 'ours', 'difference',
     'tolerance', 'verdict')
)  # fmt: skip


def _pair_facts(pair: Comparison) -> dict[str, object]:
    facts = (
        pair.row.label, pair.protocol.name, pair.protocol.hash, len(pair.cell.runs),
        pair.cell.value, pair.difference, pair.tolerance, pair.verdict_text,
    )  # fmt: skip
    return dict(zip(_NO_PAIR, facts, strict=True))


def _published_facts(result: PublishedResult) -> dict[str, object]:
    line = result.model_dump()
    for part in ('pretrain', 'protocol'):
        line |= {f'{part}_{name}': value for name, value in line.pop(part).items()}
    other = '; '.join(f'{name} {value}' for name, value in line['protocol_other'].items())
    return line | {'protocol_other': other, 'link': result.link}
