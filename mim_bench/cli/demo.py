"""Run the main job on the embedded data: pre-train, convert, classify, segment, detect, report.

Run again, it goes on where it stopped, and does nothing that is done.

Examples:
  mim-bench demo --out demo
  mim-bench demo --out demo --checkpoint official.pth
"""

import argparse
import os
from pathlib import Path

from rich.console import Console

from mim_bench.suite.steps import Step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--out', type=Path, default=Path('demo'), metavar='DIR')
    parser.add_argument(
        '--checkpoint',
        type=Path,
        nargs='+',
        default=[],
        metavar='CKPT',
        help='further rows: checkpoints in any layout that `mim-bench convert` recognises',
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, help='runs at a time (default: one for each core)')


def run(args: argparse.Namespace) -> int:
    """Plan, execute, report."""
    from mim_bench.report.terminal import print_leaderboard
    from mim_bench.report.write import write_report
    from mim_bench.suite.demo import plan_demo
    from mim_bench.suite.execute import count_workers, execute

    console = Console(width=None if Console().is_terminal else 160)
    out = args.out.resolve()
    given = []
    if args.checkpoint:
        from mim_bench.suite.given import rows_of  # imports torch, which the plan does without

        given = rows_of(args.checkpoint, out / 'checkpoints')
    plan = plan_demo(out, args.seed, given)
    workers = count_workers(args.workers)
    threads = max((os.cpu_count() or 1) // workers, 1)
    outcome = execute(
        plan,
        out / 'steps',
        workers=workers,
        listener=_Lines(console, len(plan)),
        environment={'OMP_NUM_THREADS': str(threads), 'MKL_NUM_THREADS': str(threads)},
    )
    console.print(
        f'{len(outcome.ran)} steps ran, {len(outcome.done)} were done before, '
        f'{len(outcome.failed)} failed, {len(outcome.skipped)} could not run.'
    )
    board, paths = write_report(out / 'results', out / 'leaderboard')
    print_leaderboard(board, console)
    for path in paths:
        console.print(str(path), markup=False, highlight=False, soft_wrap=True)
    return 0 if outcome.is_complete else 1


class _Lines:
    """One line when a step starts and one when it ends."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.total = total
        self.ended = 0

    def started(self, step: Step) -> None:
        self.console.print(f'  [dim]start[/] {step.name}', highlight=False)

    def finished(self, step: Step, seconds: float, error: str | None) -> None:
        self.ended += 1
        mark = '[green]done [/]' if error is None else '[red]FAILED[/]'
        self.console.print(
            f'  {mark} {step.name} ({seconds:.0f} s) [{self.ended}/{self.total}]', highlight=False
        )
        if error is not None:
            self.console.print(error, markup=False, highlight=False)
