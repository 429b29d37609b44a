"""Two rows of the leaderboard side by side: tests of their numbers, and how they were measured."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from mim_bench.cli._board_view import terminal_table
from mim_bench.errors import RecordError, did_you_mean
from mim_bench.report.board import DASH, Board, Column
from mim_bench.report.tables import p_text
from mim_bench.report.text import one_line
from mim_bench.results.collection import SampleReader
from mim_bench.results.protocol_file import SettingDifference, read_protocol, setting_differences
from mim_bench.results.record import RunRecord
from mim_bench.results.statistics import ALPHA, Comparison, compare

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
        console.print(
            'Where both rows kept what they did on each image, A - B and its tests are of that; A '
            'and B are as the evaluator rounded them.'
        )
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
