"""Write the embedded data set, check a data set, or pack one into a file.

Examples:
  mim-bench data make-toy data/toy
  mim-bench data make-toy data/toy-small --size small --workers 2
  mim-bench data check imagenet data/imagenet --workers 16
  mim-bench data check coco data/coco --need-stuff
  mim-bench data check ade20k data/subset --expect train=100,val=20
  mim-bench data check imagenet data/flowers --expect train=900,val=100,classes=3
  mim-bench data pack data/imagenet data/imagenet.zip
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from mim_bench.data.checks import Report

_DATASETS = (
    'imagenet', 'ade20k', 'coco', 'imagenet-v2', 'imagenet-a', 'imagenet-r', 'imagenet-sketch',
    'imagenet-c', 'imagenet-real',
)  # fmt: skip
_SIZES = ('tiny', 'small', 'demo', 'default', 'large')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``make-toy``, ``check`` and ``pack``."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')

    toy = actions.add_parser(
        'make-toy',
        help='Write the embedded data set in three layouts.',
        description='Write digits on photographs in the layouts of ImageNet, ADE20K and COCO.',
        epilog='Example: mim-bench data make-toy data/toy',
    )
    toy.add_argument(
        'folder', type=Path, metavar='DIR', help='Write into this new or empty folder.'
    )
    toy.add_argument(
        '--seed',
        type=int,
        default=0,
        help='Draw images by this seed; the same seed gives the same bytes (default: 0).',
    )
    toy.add_argument(
        '--size',
        choices=_SIZES,
        default='default',
        help='Write a set of this size (default: default, with 4,560 images).',
    )
    toy.set_defaults(action_run=_make_toy)

    check = actions.add_parser(
        'check',
        help='Check a data set: counts, labels, files that do not decode.',
        description='Check a data set; the exit status is 1 if it has problems.',
        epilog='Example: mim-bench data check coco data/coco --need-stuff',
    )
    check.add_argument(
        'dataset', choices=_DATASETS, help='Check this data set, which sets layout and counts.'
    )
    check.add_argument(
        'folder', type=Path, metavar='DIR', help='Read it from this folder or archive.'
    )
    check.add_argument(
        '--expect',
        metavar='train=N,val=N,classes=N',
        help='Expect these numbers of images and classes, for a part of a data set or your own '
        '(default: those of the real or the embedded set).',
    )
    check.add_argument('--quick', action='store_true', help='List the files, and open no image.')
    check.add_argument(
        '--need-stuff', action='store_true', help="Require COCO's stuff maps, which HTC needs."
    )
    check.add_argument(
        '--json', type=Path, metavar='FILE', help='Write the report into this JSON file too.'
    )
    check.set_defaults(action_run=_check)

    pack = actions.add_parser(
        'pack',
        help='Pack the folder of a data set into one file that runs read as it is.',
        description='Write an uncompressed zip or tar file, which `--data-root ARCHIVE` reads.',
        epilog='Example: mim-bench data pack data/imagenet data/imagenet.zip',
    )
    pack.add_argument('folder', type=Path, metavar='DIR', help='Pack this folder of a data set.')
    pack.add_argument(
        'archive', type=Path, metavar='ARCHIVE', help='Write this new .zip or .tar file.'
    )
    pack.set_defaults(action_run=_pack)

    for action in (toy, check):
        action.add_argument(
            '--workers', type=int, default=1, help='Use this many processes (default: 1).'
        )
        # Without a default of its own, or it would undo --debug before the action.
        action.add_argument(
            '--debug',
            action='store_true',
            default=argparse.SUPPRESS,
            help='Show the traceback of an error.',
        )


def run(args: argparse.Namespace) -> int:
    """Run the chosen action."""
    return args.action_run(args)


def _make_toy(args: argparse.Namespace) -> int:
    from mim_bench.data.toy import SIZES, make_toy

    console = Console()
    with _progress(console, 'drawing') as progress:
        manifest = make_toy(
            args.folder,
            seed=args.seed,
            size=SIZES[args.size],
            workers=args.workers,
            progress=progress,
        )
    counts = ', '.join(
        f'{name} {split["train"]:,}/{split["val"]:,}' for name, split in manifest['size'].items()
    )
    console.print(f'{args.folder} holds {counts} images (train/val).', soft_wrap=True)
    return 0


def _check(args: argparse.Namespace) -> int:
    from mim_bench.data.checks import CHECKS, CheckOptions
    from mim_bench.data.checks.options import parse_expect
    from mim_bench.files.atomic import write_atomically

    console = Console()
    with _progress(console, 'decoding') as progress:
        options = CheckOptions(
            expect=parse_expect(args.expect) if args.expect else None,
            quick=args.quick,
            need_stuff=args.need_stuff,
            workers=args.workers,
            progress=progress,
        )
        report = CHECKS[args.dataset](args.folder, options)
    if args.json is not None:
        text = json.dumps(report.to_dict(), indent=2) + '\n'
        write_atomically({args.json: text.encode()})
    _print_report(console, report)
    return 0 if report.is_ok else 1


def _pack(args: argparse.Namespace) -> int:
    from mim_bench.data.archives import pack
    from mim_bench.data.listing import list_files

    console = Console()
    with _progress(console, 'packing') as progress:
        count = pack(args.folder, args.archive, list_files(args.folder, ('',)).files, progress)
    console.print(
        f'{args.archive} holds {count:,} files. Read it with --data-root {args.archive}',
        soft_wrap=True,
    )
    return 0


@contextmanager
def _progress(console: Console, verb: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that appears with the first file, as a call with (done, total) moves it."""
    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(verb, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


def _print_report(console: Console, report: 'Report') -> None:
    """Print every problem, then the counts."""
    for problem in report.problems:
        line = f'[red]{problem.kind.value}[/]: {escape(problem.path)} {escape(problem.message)}'
        console.print(line, soft_wrap=True, highlight=False)
    for path in report.left_out:
        line = f'left out: {escape(path)} is hidden; the loaders do not read it'
        console.print(line, soft_wrap=True, highlight=False)
    for note in report.notes:
        console.print(f'note: {escape(note)}', soft_wrap=True, highlight=False)
    console.print(escape(f'{report.dataset} in {report.root}'), soft_wrap=True)
    table = Table()
    table.add_column('what')
    table.add_column('number', justify='right')
    for name, number in report.counts.items():
        table.add_row(name, f'{number:,}')
    for kind, number in report.kinds().items():
        table.add_row(f'[red]{kind.value}[/]', f'[red]{number:,}[/]')
    console.print(table)
    count = len(report.problems)
    noun = 'problem' if count == 1 else 'problems'
    console.print('[green]ok[/]' if report.is_ok else f'[red]{count:,} {noun}[/]')
