"""The leaderboard as Markdown, LaTeX, CSV and as tables for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from mim_bench.report.board import Cell, Column, ColumnGroup, Leaderboard, Row
from mim_bench.report.published import Comparison
from mim_bench.report.sections import (
    MOST_PAIRS,
    PUBLISHED_NOTE,
    SHORT_PAIR,
    checkpoint_facts,
    published_tables,
    runs_frame,
    text_sections,
)
from mim_bench.report.tables import (
    FACTS,
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
from mim_bench.report.text import csv_text, latex_text, markdown_text, one_line
from mim_bench.results.published import Pretraining, PublishedProtocol, PublishedResult


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
    return _to_csv(runs_frame(board))


def render_published_csv(board: Leaderboard) -> str:
    """Every published result as one line, those that stand beside a row of ours first."""
    section = board.published
    beside = {id(pair.published) for pair in section.comparisons}
    others = [one for one in [*section.near, *section.further] if id(one) not in beside]
    lines = [
        *(_pair_facts(pair) | _published_facts(pair.published) for pair in section.comparisons),
        *(dict.fromkeys(_PAIR_FIELDS) | _published_facts(result) for result in others),
    ]
    fields = [*_PAIR_FIELDS, *_published_fields()]
    return _to_csv(pd.DataFrame(lines, columns=fields, dtype=object))


def _to_csv(lines: pd.DataFrame | Iterator[Mapping[str, object]]) -> str:
    """CSV in which no text is a formula."""
    frame = lines if isinstance(lines, pd.DataFrame) else pd.DataFrame(list(lines), dtype=object)
    safe = {
        name: pd.Series([csv_text(v) if isinstance(v, str) else v for v in values], dtype=object)
        for name, values in frame.items()
    }
    return pd.DataFrame(safe).to_csv(index=False, lineterminator='\n')


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


_PAIR_FIELDS = (
    'checkpoint', 'our_protocol', 'our_protocol_hash', 'our_runs', 'ours', 'difference',
    'tolerance', 'verdict',
)  # fmt: skip


def _pair_facts(pair: Comparison) -> dict[str, object]:
    protocol = pair.protocol
    facts = (
        pair.row, protocol.name, protocol.hash, pair.num_runs, pair.ours, pair.difference,
        pair.tolerance, pair.verdict_text,
    )  # fmt: skip
    return dict(zip(_PAIR_FIELDS, facts, strict=True))


def _published_fields() -> list[str]:
    own = [name for name in PublishedResult.model_fields if name not in ('pretrain', 'protocol')]
    pretrain = [f'pretrain_{name}' for name in Pretraining.model_fields]
    return [
        *own,
        *pretrain,
        *(f'protocol_{name}' for name in PublishedProtocol.model_fields),
        'link',
    ]


def _published_facts(result: PublishedResult) -> dict[str, object]:
    line = {name: value for name, value in result if name not in ('pretrain', 'protocol')}
    line |= {f'pretrain_{name}': value for name, value in result.pretrain}
    line |= {f'protocol_{name}': value for name, value in result.protocol}
    other = '; '.join(f'{name} {value}' for name, value in result.protocol.other.items())
    return line | {'protocol_other': other, 'link': result.link}


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
    parts += [Text(f'{kind}: {one_line(text)}', style='cyan') for kind, text in board.notes]
    for run in board.failed:
        parts.append(
            Text(f'failed: {one_line(f"{run.run_id}: {run.error or str()}")}', style='red')
        )
    for file in board.damaged:
        parts.append(Text(f'left out: {one_line(f"{file.path}: {file.reason}")}', style='yellow'))
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
