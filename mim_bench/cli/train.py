"""Train a config of mmpretrain, mmseg or mmdet.

Example:
  mim-bench train configs/demo/finetune_ummae-swin-toy_1xb64-coslr-10e_toy-in1k-64px.py \
      --checkpoint ummae.pth --auto-resume
"""

import argparse

from mim_bench.cli._launch_arguments import add_launch_arguments, launch_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training."""
    add_launch_arguments(parser)
    parser.add_argument('--load-from', help='checkpoint of the whole model')
    parser.add_argument(
        '--auto-resume', action='store_true', help='go on from the newest checkpoint, if any'
    )
    parser.add_argument('--no-amp', action='store_true', help='float32 instead of mixed precision')


def run(args: argparse.Namespace) -> int:
    """Train."""
    from mim_bench.engine.launch import train

    train(
        launch_from(
            args, load_from=args.load_from, auto_resume=args.auto_resume, no_amp=args.no_amp
        )
    )
    return 0
