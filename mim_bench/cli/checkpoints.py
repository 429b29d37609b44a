"""List released weights of others, download them, or verify files against the list.

Examples:
  mim-bench checkpoints list --method conmim
  mim-bench checkpoints download vit-base-p16.mae-1600e-in1k
  mim-bench checkpoints verify checkpoints
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, track
from rich.table import Table

from mim_bench.errors import CheckpointError

if TYPE_CHECKING:
    from mim_bench.conversion.manifest import Release

_CAPTION = (
    'top-1: on ImageNet-1K after fine-tuning, in percent, as published. address: of a file that '
    '`download` fetches, or of a page for your browser. hash: whole, or published first digits; '
    'without one, `verify` prints that of your file and calls it not yet verified.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``list``, ``download`` and ``verify``."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    listing = actions.add_parser(
        'list',
        help='List the releases.',
        description='List the releases of others that mim-bench convert reads.',
        epilog='Example: mim-bench checkpoints list --method conmim',
    )
    listing.add_argument('--method', help='List releases of this method only (default: all).')
    listing.set_defaults(action_run=_list)
    download = actions.add_parser(
        'download',
        help='Download a release and verify it.',
        description='Download the file of a release from the address at which its authors publish '
        'it, and verify size and hash as far as they are known. A file that exists already is only '
        'verified. The exit status is 1 if it differs from the release.',
        epilog='Example: mim-bench checkpoints download vit-base-p16.mae-1600e-in1k',
    )
    download.add_argument(
        'name', metavar='NAME', help='Download the release with this id, see `list`.'
    )
    download.add_argument(
        '--to',
        type=Path,
        metavar='DIR',
        default=Path('checkpoints'),
        help='Put the file into this folder (default: checkpoints).',
    )
    download.set_defaults(action_run=_download)
    verify = actions.add_parser(
        'verify',
        help='Hash files and compare them with the list.',
        description='Hash files and compare them with the releases of their names; the exit status '
        'is 1 if one differs.',
        epilog='Example: mim-bench checkpoints verify checkpoints',
    )
    verify.add_argument(
        'paths',
        type=Path,
        nargs='+',
        metavar='FILE|DIR',
        help='Verify these files, or the files of these folders.',
    )
    verify.set_defaults(action_run=_verify)
    for action in (listing, download, verify):
        action.add_argument(
            '--manifest',
            type=Path,
            metavar='YML',
            help='Read this list of releases (default: the shipped one).',
        )


def run(args: argparse.Namespace) -> int:
    """List, download or verify."""
    from mim_bench.conversion.manifest import DEFAULT_MANIFEST, read_manifest

    return args.action_run(args, read_manifest(args.manifest or DEFAULT_MANIFEST))


def _list(args: argparse.Namespace, releases: 'list[Release]') -> int:
    chosen = [r for r in releases if args.method in (None, r.method)]
    if not chosen:
        known = ', '.join(sorted({r.method for r in releases}))
        raise CheckpointError(f'No release of method {args.method!r} is listed. Known: {known}.')
    table = Table(caption=_CAPTION)
    table.add_column('id', overflow='fold')
    for name in ('method', 'backbone', 'epochs', 'top-1', 'licence', 'address', 'hash'):
        table.add_column(name)
    for release in chosen:
        cells = (
            release.id,
            release.method,
            release.backbone,
            str(release.pretrain_epochs or '-'),
            str(release.published_top1 or '-'),
            release.licence or 'not stated',
            _address(release),
            'whole' if release.sha256 else 'digits' if release.checksum else 'no',
        )
        table.add_row(*map(escape, cells))
    Console().print(table)
    return 0


def _address(release: 'Release') -> str:
    if release.url is None:
        return 'no'
    return 'page' if 'drive.google.com' in release.url else 'file'


def _download(args: argparse.Namespace, releases: 'list[Release]') -> int:
    from mim_bench.conversion.manifest import Verdict, download, release_named

    release = release_named(args.name, releases)
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(release.id, total=None)
        found = download(
            release, args.to, lambda done, total: bar.update(task, completed=done, total=total)
        )
    Console(soft_wrap=True, highlight=False).print(str(found), markup=False)
    return int(found.verdict is Verdict.MISMATCH)


def _verify(args: argparse.Namespace, releases: 'list[Release]') -> int:
    from mim_bench.conversion.manifest import Verdict, checkpoint_files, verify

    console = Console(soft_wrap=True, highlight=False)
    files = checkpoint_files(args.paths)
    progress = track(files, 'hashing', console=Console(stderr=True), transient=True)
    found = [verify(path, releases) for path in progress]
    for verification in found:
        console.print(str(verification), markup=False)
    return int(any(v.verdict is Verdict.MISMATCH for v in found))
