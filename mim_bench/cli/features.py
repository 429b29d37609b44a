"""Write the features of images into a file.

Images are prepared as the common probe of ImageNet does it, and the vector of an image is the
average of the last map, as k-NN compares them. The file holds `features` (N, D), `names`, and with
--maps `maps` (N, D, rows, cols); it is written piece by piece.

Examples:
  mim-bench features mae.pth photos/ --out mae.npz
  mim-bench features timm:vit_base_patch14_dinov2.lvd142m val.zip --maps --out dinov2.safetensors
  mim-bench features eva02.pt --timm eva02_base_patch14_224 cat.jpg dog.jpg --out eva.npz
"""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'checkpoint', metavar='CKPT',
        help='Use this checkpoint: a file in any layout that `mim-bench convert` recognises, '
        'timm:NAME.TAG, timm:NAME or random:BACKBONE.',
    )  # fmt: skip
    parser.add_argument(
        'images', nargs='+', metavar='IMAGES', help='Read these image files, folders and archives.'
    )
    parser.add_argument(
        '--out', type=Path, required=True, metavar='FILE',
        help='Write into this .npz or .safetensors file.',
    )  # fmt: skip
    parser.add_argument('--maps', action='store_true', help='Write the maps of patches too.')
    parser.add_argument(
        '--size', type=int, default=224, metavar='PX',
        help='Resize the short side to 256 / 224 of this size, and crop the middle (default: 224).',
    )  # fmt: skip
    parser.add_argument(
        '--dtype', choices=['float32', 'float16'], default='float32',
        help='Write numbers of this type (default: float32).',
    )  # fmt: skip
    parser.add_argument(
        '--batch-size', type=int, default=64, metavar='N',
        help='Compute this many images at a time (default: 64).',
    )  # fmt: skip
    parser.add_argument(
        '--workers', type=int, default=4, metavar='N',
        help='Read images in this many processes, or with 0 in this one (default: 4).',
    )  # fmt: skip
    parser.add_argument(
        '--device', help='Compute on this device of torch (default: a GPU if there is one).'
    )
    parser.add_argument(
        '--timm',
        metavar='NAME',
        help='Read the file as a checkpoint of this network of timm (default: recognise it).',
    )
    parser.add_argument(
        '--container',
        metavar='KEY',
        help='Take the weights under this key of the file, for example teacher (default: try the '
        'usual names).',
    )
    parser.add_argument(
        '--prefix',
        metavar='P',
        help='Take the weights whose names start with this prefix (default: all).',
    )
    parser.add_argument(
        '--download',
        action='store_true',
        help="Download weights of timm that are not in timm's cache (default: stop).",
    )


def run(args: argparse.Namespace) -> int:
    """Compute and write."""
    from rich.progress import track

    from mim_bench.api import word_network
    from mim_bench.engine.image_features import list_pictures
    from mim_bench.errors import ConfigError
    from mim_bench.evaluation.feature_file import FeatureFile

    if min(args.size, args.batch_size) < 1 or args.workers < 0:
        raise ConfigError(
            f'--size {args.size}, --batch-size {args.batch_size}, --workers {args.workers}: the '
            'first two must be 1 or more, --workers 0 or more.'
        )
    pictures = list_pictures(args.images)
    features = FeatureFile(args.out, pictures, args.dtype)
    reading = {key: getattr(args, key) for key in ('timm', 'container', 'prefix')}
    facts = [f',{key}={value}' for key, value in reading.items() if value]
    console = Console(soft_wrap=True, highlight=False)
    with tempfile.TemporaryDirectory(prefix='mim_bench_') as folder:
        network = word_network(
            args.checkpoint + ''.join(facts),
            Path(folder),
            size=args.size,
            download=args.download,
            device=args.device,
        )
    batches = network.batches(pictures, batch_size=args.batch_size, workers=args.workers)
    num_batches = -(-len(pictures) // args.batch_size)
    shapes = []
    with features as file:
        for vectors, maps in track(batches, 'features', num_batches, console=console):
            if args.maps and maps is None:
                raise ConfigError(
                    f'{args.checkpoint}: returns vectors and no maps. Leave --maps out.'
                )
            file.append(vectors, maps if args.maps else None)
            shapes = [tuple(part.shape[1:]) for part in (vectors, maps) if part is not None]
    told = ' and maps '.join(map(str, shapes[: 1 + args.maps]))
    console.print(f'{len(pictures)} images, features {told}', markup=False)
    console.print(str(args.out), markup=False)
    return 0
