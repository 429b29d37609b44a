"""The arguments that ``train`` and ``test`` share. No subcommand; imports mmengine late."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mim_bench.engine.launch import Launch


def add_launch_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them to a parser."""
    parser.add_argument('config', help='path of a config')
    parser.add_argument('--checkpoint', help='canonical checkpoint that fills the backbone')
    parser.add_argument(
        '--fit-backbone',
        action='store_true',
        help="give the config's backbone the architecture of --checkpoint",
    )
    parser.add_argument('--work-dir', help='folder of logs and checkpoints')
    parser.add_argument('--data-root', help="replaces the config's data_root")
    parser.add_argument('--seed', type=int, help="replaces the config's seed")
    parser.add_argument(
        '--allow-partial', action='store_true', help='accept a backbone filled by under 99 %%'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override the config'
    )
    parser.add_argument('--results-dir', help="folder for the run's record")
    parser.add_argument('--run-id', help='name of the record')
    parser.add_argument(
        '--record-checkpoint',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help="of the record's checkpoint: id, method, backbone, source, pretrain_epochs, sha256",
    )
    # torch.distributed.launch passes it; torchrun sets the environment instead.
    parser.add_argument('--local-rank', '--local_rank', type=int, help=argparse.SUPPRESS)


def launch_from(args: argparse.Namespace, **more: object) -> 'Launch':
    """The launch that the arguments describe."""
    from mim_bench.engine.launch import Launch

    return Launch(
        config=args.config,
        checkpoint=args.checkpoint,
        fit_backbone=args.fit_backbone,
        work_dir=args.work_dir,
        data_root=args.data_root,
        seed=args.seed,
        allow_partial=args.allow_partial,
        launcher=args.launcher,
        options=parse_options(args.cfg_options),
        results_dir=args.results_dir,
        run_id=args.run_id,
        record_checkpoint=parse_options(args.record_checkpoint),
        **more,
    )


def parse_options(words: list[str]) -> dict:
    """``KEY=VALUE`` words as mmengine reads them: numbers, booleans, lists, tuples."""
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(prog='KEY=VALUE', add_help=False)
    parser.add_argument('--options', nargs='*', action=DictAction, default={})
    return parser.parse_args(['--options', *words]).options
