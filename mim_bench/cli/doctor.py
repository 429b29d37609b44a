"""Report what is installed, where operators come from, and how to fix what is missing.

Exit status 1 means that training cannot run on this machine.

Examples:
  mim-bench doctor
  mim-bench doctor --operators
"""

import argparse
import contextlib
import io
import warnings

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        '--operators',
        action='store_true',
        help='List every operator of mmcv and where it comes from; some raise when called.',
    )


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 1 if training cannot run."""
    from mim_bench.compat import operator_sources
    from mim_bench.compat.diagnosis import diagnose

    console = Console(soft_wrap=True)
    with console.status('Looking at the installation...'), _quiet_imports():
        findings = diagnose()
    table = Table('part', 'found', 'state', title='mim-bench doctor')
    for finding in findings:
        state = '[green]ok[/]' if finding.is_ok else '[bold red]fails[/]'
        table.add_row(escape(finding.name), escape(finding.found), state)
    console.print(table)
    if args.operators:
        for name, source in operator_sources().items():
            console.print(f'{name}: {source}', highlight=False)
    for finding in findings:
        if finding.mend:
            label = 'note' if finding.is_ok else '[bold red]fix[/]'
            console.print(f'{label} {escape(finding.name)}: {escape(finding.mend)}')
    failed = [finding.name for finding in findings if not finding.is_ok]
    if failed:
        console.print(f'[bold red]Training cannot run:[/] {escape(", ".join(failed))}.')
        return 1
    console.print('[green]Training can run.[/]')
    return 0


@contextlib.contextmanager
def _quiet_imports():
    """Suppress messages that the libraries print while they are imported."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        yield
