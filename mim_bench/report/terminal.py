"""The leaderboard in a terminal, and two of its rows side by side."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mim_bench.errors import RecordError, did_you_mean
from mim_bench.report.board import DASH, RANK, Board, Column
from mim_bench.report.notes import NOTES, conclusion, plural, reading_note, summary_line
from mim_bench.report.spread import SampleReader
from mim_bench.report.tables import KINDS, p_text, published_tables
from mim_bench.report.text import one_line
from mim_bench.results.protocol_file import SettingDifference, read_protocol, setting_differences
from mim_bench.results.record import RunRecord
from mim_bench.results.statistics import ALPHA, Comparison, compare

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


_TEST_NAMES = {
    'welch': "Welch's t, seeds",
    'mcnemar': 'McNemar, images',
    'bootstrap': 'bootstrap, images',
}


def check_labels(board: Board, labels: Sequence[str]) -> None:
    """Check that rows have these labels, which are the ids of checkpoints as the board shows them.

    Raises:
        RecordError: There is no such row; near names are listed.
    """
    known = sorted(board.rows.index)
    for label in labels:
        if label not in known:
            names = ', '.join(known[:20])
            raise RecordError(
                f'No row {label!r} on the board.{did_you_mean(label, known)} Known: {names}.'
            )


def _results(board: Board, label: str) -> dict[Column, Any]:
    """The results of a row by their column."""
    cells = board.cells[board.cells['label'].eq(label) & board.cells['state'].eq('value')]
    found = {board.columns[cell.column]: cell for cell in cells.itertuples()}
    return {column: cell for column, cell in found.items() if column.part == 'task'}


def compare_rows(board: Board, labels: Sequence[str]) -> list[dict[str, str]]:
    """Test every number that two rows have under one protocol; a line of texts for each."""
    reader = SampleReader(board.collection)
    one, other = (_results(board, label) for label in labels)
    lines = []
    for column in (column for column in one if column.is_ranked and column in other):
        sides = one[column], other[column]
        test = compare(*(reader.measured(cell.runs, column.metric) for cell in sides))
        digits = column.decimals + 1
        p_values = [f'{_TEST_NAMES[name]}: {p_text(p)}' for name, p in test.p_values.items()]
        interval = test.interval and '[{:+.{d}f}, {:+.{d}f}]'.format(*test.interval, d=digits)
        lines.append(
            {
                'Metric': column.name,
                'A': sides[0].text,
                'B': sides[1].text,
                'A - B': f'{test.difference:+.{digits}f}',
                '95 % interval': interval or DASH,
                'Tests': '\n'.join(p_values) or DASH,
                f'Verdict (p < {ALPHA:g})': _verdict(column, test),
            }
        )
    return lines


def _verdict(column: Column, test: Comparison) -> str:
    if test.is_distinguishable is None:
        return f'not tested: needs two seeds a row, or {test.missing}'
    if not test.is_distinguishable:
        return 'not distinguishable'
    return f'{"A" if test.difference * column.sign > 0 else "B"} is better'


def explain_rows(
    board: Board, labels: Sequence[str]
) -> list[tuple[str, list[str], Sequence[SettingDifference] | str]]:
    """The protocols of each task that two rows share.

    A task that both have measured under one protocol gives that one; otherwise each protocol
    of the first row stands against each of the second.

    Returns:
        The task, the two protocols, which are equal if both were measured alike, and the settings
        that differ, or what hinders finding them.
    """
    sides = []
    for label in labels:
        sides.append(defaultdict(list))
        for column, cell in _results(board, label).items():
            sides[-1][column.task, column.group] += cell.runs
    pairs = [(one, other) for one, other in product(*sides) if one[0] == other[0]]
    alike = {one[0] for one, other in pairs if one == other}
    return [
        (one[0], *_explain(board, sides[0][one], sides[1][other]))
        for one, other in pairs
        if one == other or one[0] not in alike
    ]


def _explain(
    board: Board, *sides: Sequence[RunRecord]
) -> tuple[list[str], Sequence[SettingDifference] | str]:
    # A run that states its settings, if there is one.
    runs = [max(s, key=lambda r: (r.artifacts.protocol is not None, r.started_at)) for s in sides]
    one, other = (run.protocol for run in runs)
    names = [f'{p.name} version {p.version}, {p.tier}, {p.hash}' for p in (one, other)]
    if one.hash == other.hash:
        is_same = one.tier == other.tier
        return names, [] if is_same else [SettingDifference('tier', one.tier, other.tier)]
    try:
        return names, list(setting_differences(*(_settings(board, run) for run in runs)))
    except RecordError as error:
        return names, str(error)


def _settings(board: Board, run: RunRecord) -> dict[str, Any]:
    if run.artifacts.protocol is None:
        raise RecordError(f'{run.run_id} keeps no settings of its protocol. Run it again.')
    path = board.collection.artifact_path(run, run.artifacts.protocol)
    return read_protocol(path, run.protocol.hash)


def print_tests(board: Board, labels: Sequence[str], console: Console) -> None:
    """Print tests of every number that two rows have under one protocol."""
    console.print(Text(_sides(labels), style='bold'))
    if lines := compare_rows(board, labels):
        console.print(terminal_table(pd.DataFrame(lines)))
    else:
        console.print(Text('No number of theirs was measured under one protocol.'))


def _sides(texts: Sequence[str]) -> str:
    return '\n'.join(f'{side}  {one_line(text)}' for side, text in zip('AB', texts, strict=True))


def print_protocols(board: Board, labels: Sequence[str], console: Console) -> None:
    """Print which settings of the protocols of two rows differ, task by task."""
    pairs = explain_rows(board, labels)
    if not pairs:
        console.print(Text('The two rows have no task in common.'))
    for task, names, found in pairs:
        console.print(Text(f'\n{one_line(task)}', style='bold'))
        if names[0] == names[1]:
            console.print(Text(f'same protocol: {one_line(names[0])}'))
            continue
        console.print(Text(_sides(names)))
        if isinstance(found, str):
            console.print(Text(one_line(found), style='yellow'))
            continue
        frame = pd.DataFrame(found, columns=['Setting', 'in A', 'in B'], dtype=object)
        console.print(terminal_table(frame.fillna(DASH)))
