"""``mim-bench report --compare`` and ``--explain``. No subcommand."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def print_comparison(
    results: Sequence[Path], labels: Sequence[str], console: 'Console', *, is_tested: bool
) -> None:
    """Print how two rows differ.

    Args:
        results: Folders of the records; several are merged.
        labels: Of two rows of the board.
        console: Where to.
        is_tested: Test their numbers, too; otherwise their protocols alone are compared.

    Raises:
        RecordError: There are no such rows.
    """
    from mim_bench.report.build import build_leaderboard
    from mim_bench.report.comparing import (
        compare_rows,
        explain_rows,
        find_rows,
        print_protocols,
        print_tests,
    )
    from mim_bench.report.write import collect_folders

    collection = collect_folders(results)
    board = build_leaderboard(collection)
    rows = find_rows(board, labels)
    if is_tested:
        print_tests(compare_rows(board, collection, rows), rows, console)
    print_protocols(explain_rows(board, collection, rows), console)
