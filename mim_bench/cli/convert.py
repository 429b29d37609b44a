"""Convert a checkpoint to the canonical layout that every downstream config loads.

SRC may be the work directory of a run: its newest checkpoint is taken.

Example:
  mim-bench convert work_dirs/ummae checkpoints/swin-tiny.ummae.pth
  mim-bench convert official.pth swin-tiny.pth --source ummae
"""

import argparse
from pathlib import Path

from rich.console import Console

from mim_bench.errors import CheckpointError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('src', type=Path, metavar='SRC')
    parser.add_argument('dst', type=Path, metavar='DST', help='.pth or .safetensors')
    parser.add_argument('--source', default='auto', help='name of the format (default: auto)')
    parser.add_argument(
        '--keep-decoder', action='store_true', help='keep neck, head and mask tokens too'
    )
    parser.add_argument(
        '--trust',
        action='store_true',
        help='allow pickled code in SRC to run; only if you wrote it',
    )


def run(args: argparse.Namespace) -> int:
    """Convert, and say what was recognised, loaded, dropped."""
    from mim_bench.conversion.convert import convert_checkpoint

    src = newest_checkpoint(args.src) if args.src.is_dir() else args.src
    conversion = convert_checkpoint(
        src, args.dst, source=args.source, keep_decoder=args.keep_decoder, trust=args.trust
    )
    console = Console(soft_wrap=True, highlight=False)
    console.print(f'{src}: recognised as {conversion.source}', markup=False)
    for key in ('method', 'epochs', 'backbone_type', 'arch', 'licence', 'source_sha256'):
        if conversion.meta.get(key) is not None:
            console.print(f'  {key}: {conversion.meta[key]}', markup=False)
    dropped = ', '.join(conversion.dropped) or 'nothing'
    console.print(f'  kept {conversion.num_tensors} tensors; dropped {dropped}', markup=False)
    console.print(str(conversion.path), markup=False)
    return 0


def newest_checkpoint(folder: Path) -> Path:
    """The checkpoint that a run wrote last.

    Raises:
        CheckpointError: The folder has none.
    """
    from mim_bench.engine.resume import latest_checkpoint

    latest = latest_checkpoint(folder)
    if latest is None:
        raise CheckpointError(f'{folder}: no run wrote a checkpoint into this folder.')
    return latest
