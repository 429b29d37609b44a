"""The leaderboard in a terminal, and two of its rows side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mim_bench.errors import RecordError
from mim_bench.report.board import DASH, RANK, Column, ColumnGroup, Fact, Leaderboard, Row
from mim_bench.report.build import SampleReader
from mim_bench.report.tables import (
    KINDS,
    NOTES,
    conclusion,
    plural,
    published_tables,
    reading_note,
    summary_line,
)
from mim_bench.report.text import one_line
from mim_bench.results.protocol_file import SettingDifference, read_protocol, setting_differences
from mim_bench.results.record import Protocol, RunRecord
from mim_bench.results.statistics import ALPHA, Comparison, compare
from mim_bench.results.validation import near

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
    for table in published_tables(board):
        if table.is_folded:
            yield Text(f'{table.title}: in the written leaderboard.', style='dim')
        else:
            yield terminal_table(table.frame[_SHORT_PAIR], table.title)
            yield Text(f'{NOTES["published"]} {table.note}'.strip(), style='dim')


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


_TEST_NAMES = {
    'welch': "Welch's t, seeds",
    'mcnemar': 'McNemar, images',
    'bootstrap': 'bootstrap, images',
}


@dataclass(frozen=True)
class ProtocolPair:
    """The protocols of two rows for one task.

    ``differences`` is empty for one protocol; ``missing`` says what hinders finding them.
    """

    task: str
    protocols: tuple[Protocol, Protocol]
    differences: Sequence[SettingDifference] = ()
    missing: str = ''

    @property
    def is_same(self) -> bool:
        """Whether both were measured alike, so that their numbers compare."""
        return len({(protocol.hash, protocol.tier) for protocol in self.protocols}) == 1


def find_rows(board: Leaderboard, labels: Sequence[str]) -> list[Row]:
    """The rows of these labels, which are the ids of checkpoints as the board shows them.

    Raises:
        RecordError: There is no such row; near names are listed.
    """
    known = {row.label: row for row in board.rows}
    for label in labels:
        if label not in known:
            names = ', '.join(sorted(known)[:20])
            raise RecordError(f'No row {label!r} on the board.{near(label, known)} Known: {names}.')
    return [known[label] for label in labels]


def compare_rows(board: Leaderboard, rows: Sequence[Row]) -> Iterator[tuple[Column, Comparison]]:
    """Test every number that two rows have under one protocol."""
    reader = SampleReader(board.collection)
    for group in board.groups:
        for column in group.columns:
            cells = [row.cell(column) for row in rows]
            if group.protocol is not None and all(cell.state == 'value' for cell in cells):
                yield column, compare(*(reader.measured(c.runs, column.metric) for c in cells))


def explain_rows(board: Leaderboard, rows: Sequence[Row]) -> list[ProtocolPair]:
    """The protocols of each task that two rows share, with the settings that differ.

    A task that both have measured under one protocol gives that one; otherwise each protocol
    of the first row stands against each of the second.
    """
    pairs = []
    measured = [group for group in board.groups if group.protocol is not None]
    for task in dict.fromkeys(group.task for group in measured):
        groups = [group for group in measured if group.task == task]
        first, second = ([group for group in groups if _runs(row, group)] for row in rows)
        common = [group.protocol for group in first if group in second]
        pairs += [ProtocolPair(task, (protocol, protocol)) for protocol in common]
        for one, other in product(first, second) if not common else ():
            sides = [_runs(rows[0], one), _runs(rows[1], other)]
            pairs.append(_explain(board, task, sides))
    return pairs


def _runs(row: Row, group: ColumnGroup) -> list[RunRecord]:
    return [run for column in group.columns for run in row.cell(column).runs]


def _explain(board: Leaderboard, task: str, sides: Sequence[Sequence[RunRecord]]) -> ProtocolPair:
    # A run that states its settings, if there is one.
    runs = [max(s, key=lambda r: (r.artifacts.protocol is not None, r.started_at)) for s in sides]
    protocols = tuple(run.protocol for run in runs)
    if protocols[0].hash == protocols[1].hash:
        tiers = [SettingDifference('tier', *(f'"{p.tier}"' for p in protocols))]
        return ProtocolPair(task, protocols, tiers)
    contents = []
    for run in runs:
        if run.artifacts.protocol is None:
            missing = f'{run.run_id} keeps no settings of its protocol. Run it again.'
            return ProtocolPair(task, protocols, missing=missing)
        try:
            path = board.collection.artifact_path(run, run.artifacts.protocol)
            contents.append(read_protocol(path, run.protocol.hash))
        except RecordError as error:
            return ProtocolPair(task, protocols, missing=str(error))
    return ProtocolPair(task, protocols, setting_differences(*contents))


def print_tests(
    tests: Sequence[tuple[Column, Comparison]], rows: Sequence[Row], console: Console
) -> None:
    """Print a line for every number that two rows share, with its tests."""
    console.print(Text(_sides(row.label for row in rows), style='bold'))
    if not tests:
        console.print(Text('No number of theirs was measured under one protocol.'))
        return
    lines = []
    for column, test in tests:
        digits = column.decimals + 1
        p_values = [
            f'{_TEST_NAMES[key]}: {"< 0.001" if p < 0.001 else f"{p:.3f}"}'
            for key, p in test.p_values.items()
        ]
        interval = test.interval and '[{:+.{d}f}, {:+.{d}f}]'.format(*test.interval, d=digits)
        lines.append(
            {
                'Metric': ' · '.join(filter(None, (column.title, column.qualifier))),
                **{side: column.text(row) for side, row in zip('AB', rows, strict=True)},
                'A - B': f'{test.difference:+.{digits}f}',
                '95 % interval': interval or DASH,
                'Tests': '\n'.join(p_values) or DASH,
                f'Verdict (p < {ALPHA:g})': _verdict(column, test),
            }
        )
    console.print(terminal_table(pd.DataFrame(lines)))


def _sides(texts: Iterator[str]) -> str:
    return '\n'.join(f'{side}  {one_line(text)}' for side, text in zip('AB', texts, strict=True))


def _verdict(column: Column, test: Comparison) -> str:
    differs = test.is_distinguishable()
    if differs is None:
        return f'not tested: needs two seeds a row, or {test.missing}'
    if not differs:
        return 'not distinguishable'
    return f'{"A" if test.difference * column.sign > 0 else "B"} is better'


def print_protocols(pairs: Sequence[ProtocolPair], console: Console) -> None:
    """Print which settings of two rows differ, task by task."""
    if not pairs:
        console.print(Text('The two rows have no task in common.'))
    for pair in pairs:
        console.print(Text(f'\n{one_line(pair.task)}', style='bold'))
        names = [f'{p.name} version {p.version}, {p.tier}, {p.hash}' for p in pair.protocols]
        if pair.is_same:
            console.print(Text(f'same protocol: {one_line(names[0])}'))
            continue
        console.print(Text(_sides(names)))
        if pair.missing:
            console.print(Text(one_line(pair.missing), style='yellow'))
            continue
        differences = [(item.key, item.first, item.second) for item in pair.differences]
        frame = pd.DataFrame(differences, columns=['Setting', 'in A', 'in B'], dtype=object)
        console.print(terminal_table(frame.fillna(DASH)))
