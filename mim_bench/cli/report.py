"""Collect the records of runs and write the leaderboard as HTML, Markdown and CSV.

Example:
    mim-bench report results --out results/leaderboard
"""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'results', type=Path, metavar='RESULTS_DIR', help='folder with the record.json files'
    )
    parser.add_argument(
        '--out', type=Path, required=True, metavar='DIR', help='folder to write leaderboard.* to'
    )


def run(args: argparse.Namespace) -> int:
    """Write the files, print the table."""
    from rich.console import Console

    from mim_bench.report.terminal import print_leaderboard
    from mim_bench.report.write import write_report

    board, paths = write_report(args.results, args.out)
    # A log file has no width; 160 columns keep the demo's board in one table.
    console = Console(width=None if sys.stdout.isatty() else 160)
    print_leaderboard(board, console)
    for path in paths:
        console.print(str(path), markup=False, highlight=False, soft_wrap=True)
    return 0
