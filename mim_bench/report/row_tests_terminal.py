"""Two rows of a board side by side, for a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mim_bench.report.leaderboard import DASH, Row, format_cell
from mim_bench.report.plain_text import one_line
from mim_bench.report.row_tests import MetricTest, ProtocolPair
from mim_bench.results.statistics.seeds import ALPHA

_TEST_NAMES = {
    'welch': "Welch's t, seeds",
    'mcnemar': 'McNemar, images',
    'bootstrap': 'bootstrap, images',
}
_NO_TEST = 'not tested: needs two seeds a row, or {}'


def print_tests(tests: Sequence[MetricTest], rows: Sequence[Row], console: Console) -> None:
    """Print a line for every number that two rows share.

    Args:
        tests: Of the two rows.
        rows: The two.
        console: Where to.
    """
    first, second = (one_line(row.label) for row in rows)
    console.print(Text(f'A  {first}\nB  {second}', style='bold'))
    if not tests:
        console.print(Text('No number of theirs was measured under one protocol.'))
        return
    table = Table(box=box.SIMPLE_HEAD, header_style='', border_style='dim')
    table.add_column('Metric', overflow='fold')
    for heading in ('A', 'B', 'A - B', '95 % interval'):
        table.add_column(heading, justify='right', no_wrap=True)
    table.add_column('p', overflow='fold')
    table.add_column(f'Verdict (p < {ALPHA:g})', overflow='fold')
    for test in tests:
        table.add_row(*_test_line(test))
    console.print(table)


def _test_line(test: MetricTest) -> list[Text]:
    column, comparison = test.column, test.comparison
    name = one_line(' · '.join(part for part in (column.title, column.qualifier) if part))
    digits = column.decimals + 1
    interval = comparison.interval
    ends = DASH if interval is None else '[{:+.{d}f}, {:+.{d}f}]'.format(*interval, d=digits)
    tests = [f'{_TEST_NAMES[key]}: {_p_text(p)}' for key, p in comparison.p_values.items()]
    lines = [
        Text(name),
        *(Text(format_cell(cell, column)) for cell in test.cells),
        Text(f'{comparison.difference:+.{digits}f}'),
        Text(ends),
        Text('\n'.join(tests) or DASH),
    ]
    return [*lines, _verdict(test)]


def _p_text(p: float) -> str:
    return '< 0.001' if p < 0.001 else f'{p:.3f}'


def _verdict(test: MetricTest) -> Text:
    differs = test.comparison.is_distinguishable()
    if differs is None:
        return Text(_NO_TEST.format(test.comparison.missing), style='dim')
    if not differs:
        return Text('not distinguishable', style='yellow')
    is_first = (test.comparison.difference > 0) == test.column.higher_is_better
    return Text(f'{"A" if is_first else "B"} is better', style='green')


def print_protocols(pairs: Sequence[ProtocolPair], console: Console) -> None:
    """Print which settings of two rows differ, task by task.

    Args:
        pairs: Of the two rows.
        console: Where to.
    """
    if not pairs:
        console.print(Text('The two rows have no task in common.'))
    for pair in pairs:
        console.print(Text(f'\n{one_line(pair.task)}', style='bold'))
        if pair.is_same:
            console.print(Text(f'same protocol: {_protocol(pair, 0)}'))
            continue
        console.print(Text(f'A  {_protocol(pair, 0)}\nB  {_protocol(pair, 1)}'))
        if pair.missing:
            console.print(Text(one_line(pair.missing), style='yellow'))
            continue
        table = Table(box=box.SIMPLE_HEAD, header_style='', border_style='dim')
        for heading in ('Setting', 'A', 'B'):
            table.add_column(heading, overflow='fold')
        for item in pair.differences:
            texts = (DASH if text is None else one_line(text) for text in (item.first, item.second))
            table.add_row(Text(one_line(item.key)), *map(Text, texts))
        console.print(table)


def _protocol(pair: ProtocolPair, side: int) -> str:
    protocol = pair.protocols[side]
    return one_line(f'{protocol.name} version {protocol.version}, {protocol.tier}, {protocol.hash}')
