"""Measure the time and memory of k-NN on random features of any size.

The features are written first and memory-mapped; at the default size, ImageNet's at 768 numbers
an image, they take 4.1 GB. No data set is needed.

Example:
  mim-bench knn --train 64000 --val 2500 --threads 2
"""

import argparse
import tempfile
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        '--train',
        type=int,
        default=1281167,
        metavar='N',
        help='Use a bank of this many rows (default: 1,281,167).',
    )
    parser.add_argument(
        '--val',
        type=int,
        default=50000,
        metavar='M',
        help='Classify this many rows (default: 50,000).',
    )
    parser.add_argument(
        '--dim',
        type=int,
        default=768,
        metavar='D',
        help='Give each row this many numbers (default: 768).',
    )
    parser.add_argument(
        '--k', type=int, default=20, help='Vote among this many neighbours (default: 20).'
    )
    parser.add_argument('--device', default='cpu', help='Compute on this device (default: cpu).')
    parser.add_argument(
        '--threads',
        type=int,
        metavar='T',
        help="Use this many CPU threads (default: torch's choice).",
    )
    parser.add_argument(
        '--folder',
        type=Path,
        help='Keep the random features in this folder (default: a temporary one).',
    )


def run(args: argparse.Namespace) -> int:
    """Write features, classify them, and print time and memory."""
    import torch

    from mim_bench.engine.environment import usable_device
    from mim_bench.errors import ConfigError
    from mim_bench.profiling.knn_scale import measure_knn, write_random_features

    sizes = (args.train, args.val, args.dim, args.k, args.threads or 1)
    if min(sizes) < 1:
        raise ConfigError(
            f'--train, --val, --dim, --k, --threads = {sizes}. Each must be 1 or more.'
        )
    device = str(usable_device(args.device))
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        write_random_features(folder / 'train', args.train, args.dim, seed=0)
        write_random_features(folder / 'val', args.val, args.dim, seed=1)
        cost = measure_knn(folder / 'train', folder / 'val', k=args.k, device=device)
    print(f'{args.val} against {args.train} features of {args.dim} numbers, k = {args.k}')
    print(f'{cost.wall_s:.1f} s, {cost.gflop_per_s:.0f} GFLOP/s')
    print(f'peak resident memory of the process: {cost.peak_resident_bytes / 2**30:.2f} GiB')
    if cost.peak_gpu_bytes is not None:
        print(f'peak memory of tensors on the GPU: {cost.peak_gpu_bytes / 2**30:.2f} GiB')
    return 0
