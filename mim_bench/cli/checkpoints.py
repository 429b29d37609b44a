"""Released weights of others: list them, or verify files against the list.

Nothing is downloaded.

Examples:
  mim-bench checkpoints list
  mim-bench checkpoints list --method conmim
  mim-bench checkpoints verify checkpoints
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from mim_bench.errors import CheckpointError

if TYPE_CHECKING:
    from mim_bench.conversion.manifest import Release, Verification


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``list`` and ``verify``."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    listing = actions.add_parser(
        'list',
        help='the releases that are known',
        description='Show the releases of others that mim-bench convert reads.',
        epilog='Example: mim-bench checkpoints list --method conmim',
    )
    listing.add_argument('--method', help='of this method only')
    listing.set_defaults(action_run=_list)
    verify = actions.add_parser(
        'verify',
        help='hash files and hold them against the list',
        description='Exit status 1 if a file differs from the release of its name.',
        epilog='Example: mim-bench checkpoints verify checkpoints',
    )
    verify.add_argument('paths', type=Path, nargs='+', metavar='FILE|DIR')
    verify.set_defaults(action_run=_verify)
    for action in (listing, verify):
        action.add_argument('--manifest', type=Path, metavar='YML', help='another list')


def run(args: argparse.Namespace) -> int:
    """List or verify."""
    from mim_bench.conversion.manifest import DEFAULT_MANIFEST, read_manifest

    return args.action_run(args, read_manifest(args.manifest or DEFAULT_MANIFEST))


def _list(args: argparse.Namespace, releases: 'list[Release]') -> int:
    chosen = [r for r in releases if args.method in (None, r.method)]
    if not chosen:
        known = ', '.join(sorted({r.method for r in releases}))
        raise CheckpointError(f'No release of method {args.method!r} is listed. Known: {known}.')
    table = Table(caption='top-1: on ImageNet-1K after fine-tuning, in percent, as published')
    table.add_column('id', overflow='fold')
    for name in ('method', 'backbone', 'epochs', 'top-1', 'licence', 'sha256'):
        table.add_column(name)
    for release in chosen:
        table.add_row(
            *map(escape, (release.id, release.method, release.backbone)),
            str(release.pretrain_epochs),
            '-' if release.published_top1 is None else str(release.published_top1),
            release.licence or 'not stated',
            'known' if release.sha256 else 'no',
        )
    Console().print(table)
    return 0


def _verify(args: argparse.Namespace, releases: 'list[Release]') -> int:
    from mim_bench.conversion.manifest import Verdict, checkpoint_files, verify

    console = Console(soft_wrap=True, highlight=False)
    files = checkpoint_files(args.paths)
    progress = track(files, 'hashing', console=Console(stderr=True), transient=True)
    found = [verify(path, releases) for path in progress]
    for verification in found:
        console.print(_line(verification), markup=False)
    return int(any(v.verdict is Verdict.MISMATCH for v in found))


def _line(found: 'Verification') -> str:
    from mim_bench.conversion.manifest import Verdict

    text = f'{found.path}: {found.verdict.value}'
    if found.verdict is Verdict.MATCH:
        return f'{text}: {found.release.id}'
    if found.verdict is Verdict.MISMATCH:
        return (
            f'{text}: {found.release.id} has sha256 {found.release.sha256}, this file '
            f'{found.sha256}. Fetch it again.'
        )
    if found.verdict is Verdict.UNVERIFIED:
        return (
            f'{text}: named as {found.release.id}. If you know it to be that file, enter its '
            f'sha256 there: {found.sha256}'
        )
    return f'{text}: no release has this name or sha256 {found.sha256}'
