"""Collect the records of runs and write the leaderboard as HTML, Markdown, CSV and LaTeX.

Examples:
  mim-bench report results --out results/leaderboard
  mim-bench report ours/results theirs/results --merge --out leaderboard
  mim-bench report results --compare simmim-vit-base conmim-vit-base
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from mim_bench.cli._console import print_path, wide_console
from mim_bench.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'results', type=Path, metavar='RESULTS_DIR', nargs='+',
        help='Read the record.json files below this folder, at any depth; several need --merge.',
    )  # fmt: skip
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument(
        '--out', type=Path, metavar='DIR', help='Write the files of the leaderboard to this folder.'
    )
    action.add_argument(
        '--compare', nargs=2, metavar=('ROW_A', 'ROW_B'),
        help='Test whether the numbers of two rows differ, and list how their protocols differ.',
    )  # fmt: skip
    action.add_argument(
        '--explain', nargs=2, metavar=('ROW_A', 'ROW_B'),
        help='List the settings in which the protocols of two rows differ.',
    )  # fmt: skip
    parser.add_argument(
        '--merge', action='store_true',
        help='Report several folders as one board: mark rows with their folder, and compare runs '
        'of one checkpoint.',
    )  # fmt: skip
    parser.add_argument(
        '--links', type=Path, metavar='YML',
        help='Read more links from this YAML file, a mapping from checkpoint id or method to '
        'paper, code and weights (default: links of known methods and releases).',
    )  # fmt: skip
    parser.add_argument(
        '--hub', type=Path, metavar='DIR',
        help='Write model cards and .eval_results files for the Hugging Face Hub too, one folder a '
        'checkpoint below this one (default: none).',
    )  # fmt: skip
    parser.add_argument(
        '--source-url', metavar='URL',
        help='With --hub, state this address of the leaderboard in the files (default: none).',
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the files and print the table, or print how two rows differ."""
    from mim_bench.cli._board_view import print_leaderboard
    from mim_bench.report.write import write_report

    if len(args.results) > 1 and not args.merge:
        raise ConfigError(
            f'{len(args.results)} folders of results are given. Add --merge to report them as one '
            'board, or give one folder.'
        )
    console = wide_console()
    if labels := args.compare or args.explain:
        _compare(args.results, labels, console, is_tested=args.compare is not None)
        return 0
    options = {
        'links': _release_links() | _read_links(args.links),
        'hub': args.hub,
        'source_url': args.source_url,
    }
    board, paths = write_report(args.results, args.out, **options)
    print_leaderboard(board, console)
    for path in paths if args.hub is None else [*paths[:7], args.hub]:
        print_path(path, console)
    return 0


def _compare(
    folders: Sequence[Path], labels: Sequence[str], console: 'Console', *, is_tested: bool
) -> None:
    """Print how the protocols of two rows differ and, if wanted, tests of their numbers."""
    from mim_bench.cli._row_tests import check_labels, print_protocols, print_tests
    from mim_bench.report.build import build_leaderboard
    from mim_bench.results.merging import collect_folders

    board = build_leaderboard(collect_folders(folders))
    check_labels(board, labels)
    if is_tested:
        print_tests(board, labels, console)
    print_protocols(board, labels, console)


def _release_links() -> dict[str, dict[str, str]]:
    """Addresses of released weights by id and by SHA-256, where the list of them is at hand."""
    from mim_bench.conversion.manifest import DEFAULT_MANIFEST, read_manifest

    if not DEFAULT_MANIFEST.is_file():
        return {}
    releases = [release for release in read_manifest() if release.url]
    return {
        key: {'weights': release.url}
        for release in releases
        for key in (release.id, release.sha256)
        if key
    }


def _read_links(path: Path | None) -> dict[str, dict[str, str]]:
    """The links that a user states.

    Raises:
        ConfigError: The file cannot be read, or is no mapping of names to https addresses.
    """
    from pydantic import Field

    from mim_bench.files.validation import read_yaml

    address = Annotated[str, Field(pattern='^https://')]
    links = dict[str, dict[Literal['paper', 'code', 'weights'], address]]
    return {} if path is None else read_yaml(links, path, ConfigError)
