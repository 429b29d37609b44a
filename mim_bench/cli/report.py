"""Collect the records of runs and write the leaderboard as HTML, Markdown, CSV and LaTeX.

Example:
    mim-bench report results --out results/leaderboard
    mim-bench report results --out results/leaderboard --watch --every 30
    mim-bench report results --compare simmim-vit-base conmim-vit-base
"""

import argparse
import contextlib
import math
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mim_bench.cli._row_comparison import print_comparison
from mim_bench.errors import ConfigError
from mim_bench.report.plain_text import one_line

if TYPE_CHECKING:
    from rich.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'results', type=Path, metavar='RESULTS_DIR', help='folder with the record.json files'
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument('--out', type=Path, metavar='DIR', help='folder to write leaderboard.* to')
    action.add_argument(
        '--compare', nargs=2, metavar=('ROW_A', 'ROW_B'),
        help='test whether the numbers of two rows differ, and say how their protocols do',
    )  # fmt: skip
    action.add_argument(
        '--explain', nargs=2, metavar=('ROW_A', 'ROW_B'),
        help='say which settings of the protocols of two rows differ',
    )  # fmt: skip
    parser.add_argument(
        '--watch', action='store_true', help='write again when records change, until Ctrl-C'
    )
    parser.add_argument(
        '--every', type=_seconds, default=10.0, metavar='SECONDS',
        help='how often --watch looks at the records (10)',
    )  # fmt: skip
    parser.add_argument(
        '--source-url', metavar='URL', help='where the leaderboard will stand, for model-index.yml'
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f'{text!r} is no number of seconds above 0')
    return seconds


def run(args: argparse.Namespace) -> int:
    """Write the files and print the table, or print how two rows differ."""
    from rich.console import Console

    from mim_bench.report.terminal import print_leaderboard
    from mim_bench.report.write import write_report

    # A log file has no width; 160 columns keep the demo's board in one table.
    console = Console(width=None if sys.stdout.isatty() else 160)
    if labels := args.compare or args.explain:
        if args.watch:
            raise ConfigError('--watch writes a leaderboard: give --out, not a comparison.')
        print_comparison(args.results, labels, console, is_tested=args.compare is not None)
        return 0
    if args.watch:
        return _watch(args, console)
    board, paths = write_report(args.results, args.out, source_url=args.source_url)
    print_leaderboard(board, console)
    for path in paths:
        console.print(str(path), markup=False, highlight=False, soft_wrap=True)
    return 0


def _watch(args: argparse.Namespace, console: 'Console') -> int:
    """Print a line for every writing until the user stops it, which is how it ends well."""
    from mim_bench.report.watch import watch_report

    refreshes = watch_report(
        args.results, args.out, every=args.every, source_url=args.source_url
    )  # fmt: skip
    console.print(
        f'Watching {args.results}, writing to {args.out}; Ctrl-C ends it.',
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    try:
        with contextlib.closing(refreshes):
            for refresh in refreshes:
                line = f'{datetime.now():%H:%M:%S}  {one_line(refresh.line)}'
                style = None if refresh.is_written else 'yellow'
                console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
    except KeyboardInterrupt:
        pass
    return 0
