"""The command ``mim-bench``: runs a subcommand and prints errors as one message.

A subcommand is a module of :mod:`mim_bench.cli` with ``add_arguments(parser)``,
``run(args) -> int`` and a docstring: its first line is the help, the whole of it
the description. Modules import heavy libraries inside ``run`` only.
"""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from mim_bench import cli
from mim_bench.errors import MimBenchError


def command_names() -> list[str]:
    """Names of the subcommands: all public modules of :mod:`mim_bench.cli` except this one."""
    names = [module.name for module in pkgutil.iter_modules(cli.__path__)]
    return sorted(name for name in names if name != 'main' and not name.startswith('_'))


def build_parser() -> argparse.ArgumentParser:
    """The parser of all subcommands."""
    parser = argparse.ArgumentParser(
        prog='mim-bench', description='Evaluate pre-trained vision backbones, and pre-train them.'
    )
    subparsers = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name in command_names():
        module = importlib.import_module(f'mim_bench.cli.{name}')
        description = module.__doc__ or ''
        child = subparsers.add_parser(
            name,
            help=description.splitlines()[0],
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        child.add_argument('--debug', action='store_true', help='Show the traceback of an error.')
        module.add_arguments(child)
        child.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Words after the program's name; those of the process by default.

    Returns:
        0 done, 1 failed with a message, 2 used wrongly (argparse exits itself), 75 asked to stop
        by a signal or the end of its time: start again.
    """
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
    except (MimBenchError, OSError) as error:
        if args.debug:
            raise
        print_error(error)
        return getattr(error, 'exit_status', 1)
    except KeyboardInterrupt:
        print_error('interrupted. Start again to go on (with --auto-resume where you train).')
        return 1


def print_error(error: BaseException | str) -> None:
    """Print an error as one message on standard error."""
    Console(stderr=True, soft_wrap=True).print(f'[bold red]error:[/] {escape(str(error))}')


if __name__ == '__main__':
    sys.exit(main())
