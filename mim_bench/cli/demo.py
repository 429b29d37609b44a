"""Pre-train, convert and evaluate small networks on embedded data, and write the leaderboard.

Re-running continues where it stopped and skips finished steps.

Examples:
  mim-bench demo --out demo
  mim-bench demo --out demo --checkpoint official.pth
"""

import argparse
from pathlib import Path

from mim_bench.cli._console import wide_console
from mim_bench.cli.run import core_environment, run_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('demo'),
        metavar='DIR',
        help='Write everything below this folder (default: demo).',
    )
    parser.add_argument(
        '--checkpoint',
        nargs='+',
        action='extend',
        default=[],
        metavar='[ID=]CKPT',
        help='Add rows for these checkpoints, in any layout that `mim-bench convert` recognises '
        '(default: none).',
    )
    parser.add_argument(
        '--full',
        action='store_true',
        help='Compare four methods on two kinds of backbone and more data, in about half an hour '
        '(default: two methods, ten minutes).',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='Make data and train with this seed (default: 0).'
    )
    parser.add_argument(
        '--workers',
        type=int,
        help='Run this many steps in parallel (default: one per core, at most 4).',
    )


def run(args: argparse.Namespace) -> int:
    """Plan, execute, report."""
    from mim_bench.cli.main import main
    from mim_bench.suite.checkpoints import rows_of
    from mim_bench.suite.demo import FULL, QUICK, SUITE, demo_places, plan_demo
    from mim_bench.suite.devices import count_workers
    from mim_bench.suite.forking import ForkingLauncher
    from mim_bench.suite.tasks import load_suite

    console = wide_console()
    places = demo_places(args.out.resolve())
    suite = load_suite(SUITE)
    demo = FULL if args.full else QUICK
    given = rows_of(args.checkpoint, places.checkpoints, suite, taken=demo.row_ids)
    workers = count_workers(args.workers)
    launcher = ForkingLauncher(main, workers=workers, environment=core_environment(workers))
    plan = plan_demo(places.out, args.seed, given, demo)
    return run_plan(plan, places, launcher, console)
