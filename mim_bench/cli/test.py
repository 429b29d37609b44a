"""Test a model, or probe a frozen backbone, with a config.

Example:
  mim-bench test configs/demo/probe_ummae-swin-toy_1xb64_toy-in1k-64px.py --checkpoint ummae.pth
"""

import argparse

from mim_bench.cli._launch_arguments import add_launch_arguments, launch_from, run_instead


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of testing."""
    add_launch_arguments(parser)
    parser.add_argument(
        'model',
        nargs='?',
        help='Test this checkpoint of the whole model, or the newest one of the work directory of '
        'its training. A probe takes --checkpoint instead; with --variant, name the work directory '
        'of its test here.',
    )
    parser.add_argument(
        '--variant',
        metavar='NAME',
        help='Test a classifier, or probes that were tested before, on the test set imagenet-v2, '
        'imagenet-a, imagenet-r, imagenet-sketch, imagenet-c or imagenet-real in --data-root '
        "(default: the config's).",
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="Average predictions by the config's test-time augmentation.",
    )


def run(args: argparse.Namespace) -> int:
    """Run the test."""
    launch = launch_from(args, load_from=args.model)
    if run_instead(args, launch, 'test'):
        return 0
    from mim_bench.engine.launch import test

    test(launch)
    return 0
