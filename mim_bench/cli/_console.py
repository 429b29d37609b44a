"""What commands print with: consoles, progress, paths, Markdown tables. No subcommand."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape


def wide_console(**settings: Any) -> Console:
    """A console for tables. A log file has no width; 160 columns keep a table in one piece."""
    return Console(width=None if sys.stdout.isatty() else 160, **settings)


def print_path(path: Path, console: Console) -> None:
    """Print a path that can be copied: in one piece, without colours."""
    console.print(str(path), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def showing(console: Console, first: str = 'starting') -> Iterator[Callable[[str], None]]:
    """Context with a function that shows what is done now; a log gets a line each time."""
    with console.status(first) as status:
        show = status.update if console.is_terminal else console.print
        yield lambda text: show(escape(text))


def markdown_rows(lines: Iterable[Sequence[str]]) -> str:
    """The lines of a Markdown table, from the cells of each."""
    return ''.join(f'| {" | ".join(cells)} |\n' for cells in lines)
