"""Print the state of the steps of a suite that runs on a cluster.

The scheduler is asked once.

Examples:
  mim-bench status --out bench
  mim-bench status --out bench --all
"""

import argparse
from collections import Counter
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('bench'),
        metavar='DIR',
        help='Read the suite in this folder (default: bench).',
    )
    parser.add_argument('--all', action='store_true', help='List finished and waiting steps too.')
    parser.add_argument(
        '--offline',
        action='store_true',
        help='Print the last known states without asking the scheduler.',
    )


def run(args: argparse.Namespace) -> int:
    """Print; 1 if a step failed."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mim_bench.suite.status import read_states

    states = read_states(args.out.resolve(), ask=not args.offline)
    console = Console()
    counts = Counter(state.state for state in states)
    console.print(', '.join(f'{number} {state}' for state, number in sorted(counts.items())))
    shown = [s for s in states if args.all or s.state not in ('done', 'open')]
    if shown:
        table = Table('step', 'state', 'job', '')
        for state in shown:
            table.add_row(Text(state.name), state.state, state.job, Text(state.more))
        console.print(table)
    return 1 if counts['failed'] else 0
