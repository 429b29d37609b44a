"""Two rows of a board side by side: tests of every number, and how their protocols differ."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd
from rich.console import Console
from rich.text import Text

from mim_bench.errors import RecordError
from mim_bench.report.board import DASH, Column, ColumnGroup, Leaderboard, Row
from mim_bench.report.spread import SampleReader
from mim_bench.report.terminal import terminal_table
from mim_bench.report.text import one_line
from mim_bench.results.protocol_file import SettingDifference, read_protocol, setting_differences
from mim_bench.results.record import Protocol, RunRecord
from mim_bench.results.statistics import ALPHA, Comparison, compare
from mim_bench.results.validation import near

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
