"""Show what a checkpoint holds, without running code from it.

Example:
  mim-bench inspect checkpoints/swin-tiny.ummae.pth
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument('--tensors', action='store_true', help='list every tensor')


def run(args: argparse.Namespace) -> int:
    """Print format, architecture, epochs, sizes."""
    from mim_bench.conversion.files import read_checkpoint, state_dict_of
    from mim_bench.conversion.sources import SOURCES

    content = read_checkpoint(args.checkpoint)
    state = state_dict_of(content)
    formats = [source for source in SOURCES.values() if source.detect(state)]
    table = Table('', '', show_header=False, title=str(args.checkpoint))
    table.add_row('format', ', '.join(source.name for source in formats) or 'unknown')
    for source in formats:
        table.add_row(f'sizes ({source.name})', str(source.architecture(state)))
    meta = content.get('meta')
    for key, value in (meta if isinstance(meta, dict) else {}).items():
        text = str(value)
        table.add_row(key, text if len(text) <= 200 else f'{text[:200]} ...')
    table.add_row('epoch', str(content.get('epoch', 'not stored')))
    table.add_row('tensors', str(len(state)))
    table.add_row('parameters', f'{sum(tensor.numel() for tensor in state.values()):,}')
    console = Console()
    console.print(table, markup=False)
    if args.tensors:
        for key, tensor in state.items():
            console.print(f'{key} {tuple(tensor.shape)} {tensor.dtype}', markup=False)
    return 0
