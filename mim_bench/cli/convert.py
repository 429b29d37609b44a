"""Convert a checkpoint to the canonical layout that every downstream config loads.

SRC may also be the work directory of a run, whose newest checkpoint is taken, or a folder of the
Hugging Face Hub.

Examples:
  mim-bench convert work_dirs/ummae checkpoints/swin-tiny.ummae.pth
  mim-bench convert official.pth vit-base.pth --source conmim
  mim-bench convert official.pth vit.pth --arch num_heads=6
  mim-bench convert official.pth vit.pth --facts method=mae data=in1k labels=none
  mim-bench convert vit-base.pth model.safetensors --to huggingface
  mim-bench convert dino.pth vit.pth --container student
  mim-bench convert eva02.pt eva02.pth --timm eva02_base_patch14_224 --verify
"""

import argparse
from pathlib import Path

from rich.console import Console

from mim_bench.errors import CheckpointError

_SHOWN = (
    'method',
    'epochs',
    'pretrain_data',
    'labels',
    'trained_by',
    'finetune_epochs',
    'backbone_type',
    'arch',
    'params',
    'img_size',
    'merge_order',
    'licence',
    'origin_sha256',
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('src', type=Path, metavar='SRC', help='The checkpoint to read.')
    parser.add_argument(
        'dst', type=Path, metavar='DST', help='The file to write, .pth or .safetensors.'
    )
    parser.add_argument(
        '--source',
        default='auto',
        help='State the format of SRC, of `mim-bench list sources` (default: auto).',
    )
    parser.add_argument(
        '--timm',
        metavar='NAME',
        help="Read SRC as a checkpoint of this network of timm, by timm's loader (default: "
        'recognise the format).',
    )
    parser.add_argument(
        '--container',
        metavar='KEY',
        help='Take the weights under this key of SRC, for example teacher, student or model.net '
        '(default: try the usual names).',
    )
    parser.add_argument(
        '--prefix',
        metavar='P',
        help='Take the weights of SRC whose names start with this prefix, for example encoder '
        '(default: all).',
    )
    parser.add_argument(
        '--verify',
        action='store_true',
        help="Compare a forward pass with that of timm's network, if timm has one.",
    )
    parser.add_argument(
        '--to',
        default='canonical',
        help='Write this layout: canonical, timm or huggingface (default: canonical).',
    )
    parser.add_argument(
        '--arch',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='State what the weights do not show: a setting such as num_heads=6, or a size of ViT '
        'from tiny to huge (default: assume 64 channels a head).',
    )
    parser.add_argument(
        '--facts',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='State facts of the weights: method, data, labels (such as in1k+ade20k, or none), '
        'epochs, img_size, licence (default: those that the file shows).',
    )
    parser.add_argument(
        '--merge-order',
        metavar='ORDER',
        help='State in which order a Swin of LocalMIM merges neighbours: pretrain or '
        'official-finetune (default: pretrain).',
    )
    parser.add_argument(
        '--keep-decoder', action='store_true', help='Keep decoder, head and mask tokens too.'
    )
    parser.add_argument(
        '--use-ema', action='store_true', help='Take the averaged weights (EMA) in SRC.'
    )
    parser.add_argument(
        '--trust',
        action='store_true',
        help='Allow pickled code in SRC to run. Use it only on files that you wrote.',
    )


def run(args: argparse.Namespace) -> int:
    """Convert, and print what was recognised, kept and dropped."""
    from mim_bench.conversion.arch_options import parse_arch
    from mim_bench.conversion.convert import convert_checkpoint
    from mim_bench.conversion.provenance import meta_names
    from mim_bench.conversion.weight_files import weights_file
    from mim_bench.results.stated_facts import parse_facts

    if args.verify and args.to != 'canonical':
        raise CheckpointError(f'--verify reads canonical files, not --to {args.to}. Leave one out.')
    src = weights_file(args.src)
    conversion = convert_checkpoint(
        src,
        args.dst,
        source=args.source,
        to=args.to,
        arch=parse_arch(args.arch),
        facts=meta_names(parse_facts(args.facts, '--facts')),
        merge_order=args.merge_order,
        keep_decoder=args.keep_decoder,
        use_ema=args.use_ema,
        container=args.container,
        prefix=args.prefix,
        timm=args.timm,
        trust=args.trust,
    )
    console = Console(soft_wrap=True, highlight=False)
    meta = conversion.meta
    where = f', weights under {meta["container"]!r}' if meta.get('container') else ''
    console.print(f'{src}: recognised as {conversion.source}{where}', markup=False)
    for key in _SHOWN:
        if meta.get(key) is not None:
            console.print(f'  {key}: {meta[key]}', markup=False)
    for dtype, count in meta['cast'].items():
        console.print(f'  {count} tensors from {dtype} to float32', markup=False)
    for key in ('reordered', 'expanded'):
        if meta[key]:
            console.print(f'  {key}: {len(meta[key])} tensors', markup=False)
    dropped = ', '.join(conversion.dropped) or 'nothing'
    console.print(f'  kept {conversion.num_tensors} tensors; dropped {dropped}', markup=False)
    for note in conversion.notes:
        console.print(f'  note: {note}', markup=False)
    if args.verify:
        console.print(f'  {_verified(conversion.path)}', markup=False)
    console.print(str(conversion.path), markup=False)
    return 0


def _verified(path: Path) -> str:
    from mim_bench.engine.conversion_check import verify_against_timm

    difference = verify_against_timm(path)
    if difference is None:
        return 'not verified: timm has no network of this kind'
    return f"verified: the last map differs from timm's by {difference:.1e} of its largest value"
