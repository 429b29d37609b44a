r"""Train a config of mmpretrain, mmseg or mmdet.

Example:
  mim-bench train configs/demo/finetune_ummae-swin-toy_1xb64-coslr-4e_toy-in1k-64px.py \
      --checkpoint ummae.pth --auto-resume
  mim-bench train configs/demo/finetune_swin-toy_1xb64-coslr-4e_toy-in1k-64px.py --print-groups
"""

import argparse
from typing import TYPE_CHECKING

from mim_bench.cli._launch_arguments import (
    add_launch_arguments,
    launch_from,
    positive_number,
    run_instead,
)

if TYPE_CHECKING:
    from mim_bench.engine.launch import Launch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training."""
    add_launch_arguments(parser)
    parser.add_argument(
        '--load-from', help='Start from this checkpoint of the whole model (default: none).'
    )
    parser.add_argument(
        '--auto-resume',
        action='store_true',
        help='Resume from the newest checkpoint in the work directory, if there is one.',
    )
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        '--precision',
        choices=['recipe', 'fp32', 'fp16', 'bf16'],
        default='recipe',
        help="Train in this precision (default: the recipe's).",
    )
    precision.add_argument(
        '--no-amp',
        action='store_const',
        const='fp32',
        dest='precision',
        help='The same as --precision fp32.',
    )
    parser.add_argument(
        '--keep-batch',
        choices=['accumulate', 'scale-lr', 'off'],
        default='accumulate',
        help='On another number of GPUs, accumulate gradients to keep the batch of the recipe, '
        'scale the learning rate to the batch, or do neither (default: accumulate).',
    )
    parser.add_argument(
        '--on-bad-image',
        choices=['stop', 'skip'],
        default='stop',
        help='At a training image that cannot be read, stop, or skip it and take the next one, '
        'which the record counts (default: stop).',
    )
    parser.add_argument(
        '--fsdp',
        action='store_true',
        help='Shard weights, gradients and optimiser over the GPUs (FSDP2).',
    )
    parser.add_argument(
        '--save-minutes',
        type=float,
        metavar='M',
        help='Save a checkpoint after this many minutes without one (default: 30; 0: only in the '
        "recipe's intervals).",
    )
    parser.add_argument(
        '--time-limit',
        type=positive_number,
        metavar='H',
        help='Save and exit with status 75 shortly before this many hours have passed (default: '
        'the time left of a Slurm job), as after SIGTERM, SIGUSR1 and SIGUSR2.',
    )
    parser.add_argument(
        '--print-groups',
        action='store_true',
        help='Instead of training, print learning rate and weight decay of each layer.',
    )


def run(args: argparse.Namespace) -> int:
    """Train, or show the optimiser's groups."""
    launch = launch_from(args, time_limit_s=args.time_limit and args.time_limit * 3600)
    if args.print_groups:
        _print_groups(launch)
        return 0
    if run_instead(args, launch, 'train'):
        return 0
    from mim_bench.engine.launch import train

    train(launch)
    return 0


def _print_groups(launch: 'Launch') -> None:
    from rich.console import Console

    from mim_bench.cli._groups_table import groups_table
    from mim_bench.engine.launch import groups_of

    Console().print(groups_table(groups_of(launch)))
