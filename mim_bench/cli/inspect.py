"""Print format, architecture and facts of a checkpoint, without running code from it.

Examples:
  mim-bench inspect checkpoints/swin-tiny.ummae.pth
  mim-bench inspect official.pth --config
"""

import argparse
from pathlib import Path
from pprint import pformat
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from mim_bench.conversion.inspection import Inspection

_MAX_TEXT = 200
# Keys of a canonical file's meta that get a row.
_FOUND = (
    'container',
    'method',
    'backbone_type',
    'arch',
    'assumed',
    'epochs',
    'finetune_epochs',
    'pretrain_data',
    'labels',
    'trained_by',
    'img_size',
    'licence',
    'known_from',
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'checkpoint',
        type=Path,
        help='Read this file, in any layout, or the newest one of the work directory of a run.',
    )
    parser.add_argument('--tensors', action='store_true', help='Print every tensor too.')
    parser.add_argument(
        '--config', action='store_true', help='Print only the config of the backbone.'
    )


def run(args: argparse.Namespace) -> int:
    """Print format, architecture, epochs, method, sizes; or the config of the backbone."""
    from mim_bench.conversion.files import read_checkpoint
    from mim_bench.conversion.inspection import inspect_content
    from mim_bench.conversion.weight_files import weights_file

    path = weights_file(args.checkpoint)
    content = read_checkpoint(path)
    found = inspect_content(content, path.name)
    console = Console(soft_wrap=args.config)
    if args.config:
        console.print(f'backbone = {_config(found, path)}', markup=False)
        return 0
    console.print(_table(content, found, path), markup=False)
    if args.tensors:
        for key, tensor in found.weights.state.items():
            console.print(f'{key} {tuple(tensor.shape)} {tensor.dtype}', markup=False)
    return 0


def _config(found: 'Inspection', path: Path) -> str:
    from mim_bench.conversion.backbone_config import backbone_config
    from mim_bench.errors import ConversionError

    if found.problem:
        raise ConversionError(found.problem)
    return pformat(
        backbone_config({**found.meta, 'source_file': path.name}), sort_dicts=False, width=100
    )


def _table(content: dict, found: 'Inspection', path: Path) -> Table:
    from mim_bench.conversion.files import meta_of
    from mim_bench.conversion.notes import notes_on

    table = Table('', '', show_header=False, title=str(path))
    table.add_row('format', ', '.join(found.formats) or 'unknown')
    if len(found.formats) > 1:
        table.add_row('', 'their weights have the same names: convert with --source')
    if found.problem:
        table.add_row('problem', found.problem)
    known = {key: found.meta[key] for key in _FOUND if found.meta.get(key)}
    rows = {**known, **meta_of(content)}
    for key, value in rows.items():
        text = str(value)
        is_whole = key in _FOUND or len(text) <= _MAX_TEXT
        table.add_row(key, text if is_whole else f'{text[:_MAX_TEXT]} ...')
    for note in notes_on(found.weights, found.meta, content, found.formats):
        table.add_row('note', note)
    if 'epoch' not in rows:
        table.add_row('epoch', str(content.get('epoch', 'not stored')))
    table.add_row('tensors', str(len(found.weights.state)))
    table.add_row('types', ', '.join(f'{n} {dtype}' for dtype, n in found.dtypes.items()))
    table.add_row('parameters', f'{found.num_parameters:,}')
    table.add_row('file', f'{path.stat().st_size:,} bytes')
    return table
