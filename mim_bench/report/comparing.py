"""Two rows of a board side by side: tests of every number, and how their protocols differ."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from mim_bench.errors import RecordError
from mim_bench.report.board import Cell, Column, ColumnGroup, Leaderboard, Row
from mim_bench.report.formats import terminal_table
from mim_bench.report.spread import SampleReader, measure
from mim_bench.report.tables import DASH, Entry, Heading, format_cell, text_table
from mim_bench.report.text import one_line
from mim_bench.results.protocol_file import SettingDifference, read_protocol, setting_differences
from mim_bench.results.record import Protocol, RunRecord
from mim_bench.results.statistics.comparison import Comparison, compare
from mim_bench.results.statistics.seeds import ALPHA
from mim_bench.results.store import Collection

_TEST_NAMES = {
    'welch': "Welch's t, seeds",
    'mcnemar': 'McNemar, images',
    'bootstrap': 'bootstrap, images',
}


@dataclass(frozen=True)
class MetricTest:
    """One number of two rows under one protocol, and the tests of their difference."""

    column: Column
    cells: tuple[Cell, Cell]
    comparison: Comparison


@dataclass(frozen=True)
class ProtocolPair:
    """The protocols of two rows for one task.

    Attributes:
        task: Its name.
        protocols: Of the first row and of the second.
        differences: Settings that differ; empty for one protocol.
        missing: What hinders saying so; empty if nothing does.
    """

    task: str
    protocols: tuple[Protocol, Protocol]
    differences: Sequence[SettingDifference] = ()
    missing: str = ''

    @property
    def is_same(self) -> bool:
        """Whether both were measured alike, so that their numbers compare."""
        first, second = self.protocols
        return (first.hash, first.tier) == (second.hash, second.tier)


def find_rows(board: Leaderboard, labels: Sequence[str]) -> list[Row]:
    """The rows of these labels.

    Args:
        board: Whose rows they are.
        labels: The ids of checkpoints, as the board shows them.

    Raises:
        RecordError: There is no such row; near names are listed.
    """
    known = {row.label: row for row in board.rows}
    for label in labels:
        if label not in known:
            near = difflib.get_close_matches(label, known, n=3)
            hint = f'Did you mean {" or ".join(map(repr, near))}?' if near else ''
            names = ', '.join(sorted(known)[:20])
            raise RecordError(f'No row {label!r} on the board. {hint} Known: {names}.')
    return [known[label] for label in labels]


def compare_rows(
    board: Leaderboard, collection: Collection, rows: Sequence[Row]
) -> list[MetricTest]:
    """Test every number that two rows have under one protocol.

    Args:
        board: Of the collection.
        collection: Says where outcomes lie.
        rows: Two of the board.
    """
    reader = SampleReader(collection)
    samples = {id(run): reader.read(run) for row in rows for run in row.records}
    found = []
    for group in board.groups:
        if group.protocol is None:
            continue
        for column in group.columns:
            cells = tuple(row.cell(column) for row in rows)
            if all(cell.state == 'value' for cell in cells):
                sides = [measure(cell, column, samples) for cell in cells]
                found.append(MetricTest(column, cells, compare(*sides)))
    return found


def explain_rows(
    board: Leaderboard, collection: Collection, rows: Sequence[Row]
) -> list[ProtocolPair]:
    """The protocols of each task that two rows share, with the settings that differ.

    A task that both have measured under one protocol gives that one; otherwise each protocol
    of the first row stands against each of the second.

    Args:
        board: Of the collection.
        collection: Says where the settings lie.
        rows: Two of the board.
    """
    pairs = []
    for task in dict.fromkeys(group.task for group in board.groups if group.protocol is not None):
        groups = [group for group in board.groups if group.task == task]
        first, second = (list(_measured_groups(row, groups)) for row in rows)
        common = [group for group in first if group in second]
        if common:
            pairs += [ProtocolPair(task, (g.protocol, g.protocol)) for g in common]
            continue
        for one in first:
            for other in second:
                runs = [_run_of(row, g) for row, g in zip(rows, (one, other), strict=True)]
                pairs.append(_explain(task, collection, runs))
    return pairs


def _measured_groups(row: Row, groups: Sequence[ColumnGroup]) -> Iterator[ColumnGroup]:
    """Those in which a row has a run."""
    return (g for g in groups if any(row.cell(column).runs for column in g.columns))


def _run_of(row: Row, group: ColumnGroup) -> RunRecord:
    """A run of the row in the group; one that states its settings if there is one."""
    runs = [run for column in group.columns for run in row.cell(column).runs]
    return max(runs, key=lambda run: (run.artifacts.protocol is not None, run.started_at))


def _explain(task: str, collection: Collection, runs: Sequence[RunRecord]) -> ProtocolPair:
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
            path = collection.artifact_path(run, run.artifacts.protocol)
            contents.append(read_protocol(path, run.protocol.hash))
        except RecordError as error:
            return ProtocolPair(task, protocols, missing=str(error))
    return ProtocolPair(task, protocols, setting_differences(*contents))


def print_tests(tests: Sequence[MetricTest], rows: Sequence[Row], console: Console) -> None:
    """Print a line for every number that two rows share, with its tests."""
    first, second = (one_line(row.label) for row in rows)
    console.print(Text(f'A  {first}\nB  {second}', style='bold'))
    if not tests:
        console.print(Text('No number of theirs was measured under one protocol.'))
        return
    numbers = [Heading(text, 'number') for text in ('A', 'B', 'A - B', '95 % interval')]
    headings = ('Metric', *numbers, 'p', f'Verdict (p < {ALPHA:g})')
    console.print(terminal_table(text_table('tests', '', headings, map(_test_line, tests))))


def _test_line(test: MetricTest) -> tuple:
    column, comparison = test.column, test.comparison
    digits, interval = column.decimals + 1, comparison.interval
    p_values = [
        f'{_TEST_NAMES[key]}: {"< 0.001" if p < 0.001 else f"{p:.3f}"}'
        for key, p in comparison.p_values.items()
    ]
    return (
        ' · '.join(part for part in (column.title, column.qualifier) if part),
        *(format_cell(cell, column) for cell in test.cells),
        f'{comparison.difference:+.{digits}f}',
        DASH if interval is None else '[{:+.{d}f}, {:+.{d}f}]'.format(*interval, d=digits),
        Entry(next(iter(p_values), DASH), small=p_values[1:]),
        _verdict(test),
    )


def _verdict(test: MetricTest) -> str:
    differs = test.comparison.is_distinguishable()
    if differs is None:
        return f'not tested: needs two seeds a row, or {test.comparison.missing}'
    if not differs:
        return 'not distinguishable'
    is_first = (test.comparison.difference > 0) == test.column.higher_is_better
    return f'{"A" if is_first else "B"} is better'


def print_protocols(pairs: Sequence[ProtocolPair], console: Console) -> None:
    """Print which settings of two rows differ, task by task."""
    if not pairs:
        console.print(Text('The two rows have no task in common.'))
    for pair in pairs:
        console.print(Text(f'\n{one_line(pair.task)}', style='bold'))
        first, second = (
            one_line(f'{p.name} version {p.version}, {p.tier}, {p.hash}') for p in pair.protocols
        )
        if pair.is_same:
            console.print(Text(f'same protocol: {first}'))
            continue
        console.print(Text(f'A  {first}\nB  {second}'))
        if pair.missing:
            console.print(Text(one_line(pair.missing), style='yellow'))
            continue
        lines = [
            (item.key, *(DASH if text is None else text for text in (item.first, item.second)))
            for item in pair.differences
        ]
        headings = ('Setting', 'A', 'B')
        console.print(terminal_table(text_table('settings', '', headings, lines)))
