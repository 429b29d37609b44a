"""Cancel the jobs of a suite on a cluster; trainings save first.

The same `mim-bench run` continues later.

Examples:
  mim-bench cancel --out bench
  mim-bench cancel in1k-ft-common-a-s0 --out bench
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('steps', nargs='*', help='Cancel these steps (default: all).')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('bench'),
        metavar='DIR',
        help='Read the suite in this folder (default: bench).',
    )


def run(args: argparse.Namespace) -> int:
    """Cancel, and say how many."""
    from rich.console import Console

    from mim_bench.suite.status import cancel_jobs

    cancelled = cancel_jobs(args.out.resolve(), args.steps)
    Console().print(f'{len(cancelled)} jobs cancelled.')
    return 0
