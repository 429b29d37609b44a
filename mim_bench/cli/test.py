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
        help='The checkpoint of the whole model, or the work directory of its training (a probe '
        'takes --checkpoint instead, and with --variant the work directory of its test, too).',
    )
    parser.add_argument(
        '--variant',
        metavar='NAME',
        help='Test a classifier, or probes that were tested before, on imagenet-v2, -a, -r, '
        '-sketch, -c or -real, whose folder --data-root gives.',
    )
    parser.add_argument(
        '--tta', action='store_true', help="Test with the config's test-time augmentation."
    )


def run(args: argparse.Namespace) -> int:
    """Run the test."""
    launch = launch_from(args, load_from=args.model, tta=args.tta, variant=args.variant)
    if run_instead(args, launch, 'test'):
        return 0
    from mim_bench.engine.launch import test

    test(launch)
    return 0
