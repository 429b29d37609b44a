r"""Print the protocol of a config: name, version, hash, and the settings that the hash covers.

Example:
  mim-bench protocol configs/demo/finetune_vit-toy_1xb64-coslr-4e_toy-in1k-64px.py
  mim-bench protocol configs/demo/upernet_swin-toy_1xb4-200i_toy-ade20k-128px.py \
      --start swin.pth --data-root data/toy/ade/ADEChallengeData2016 --settings
"""

import argparse
import json
from pathlib import Path

from mim_bench.cli._launch_arguments import add_cfg_options, parse_options
from mim_bench.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('config', help='Read this config file.')
    parser.add_argument(
        '--start',
        metavar='FILE',
        help='Assume that the run starts from this converted checkpoint (default: random weights).',
    )
    parser.add_argument(
        '--fit-backbone',
        action='store_true',
        help="Take the backbone of --start instead of the config's.",
    )
    parser.add_argument(
        '--data-root',
        help='Read the data set from this folder or one above it (default: the data_root of the '
        'config).',
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--settings', action='store_true', help='Print everything that the hash covers, as JSON.'
    )
    parser.add_argument(
        '--left-out',
        action='store_true',
        help='Print the settings that the hash leaves out, each with the reason.',
    )


def run(args: argparse.Namespace) -> int:
    """Print the protocol of each task of the config."""
    from mim_bench.engine.launch import Launch, resolve_run
    from mim_bench.engine.run_record import content_of, make_protocol, protocol_tasks
    from mim_bench.recipe.data_content import config_content
    from mim_bench.recipe.protocol import read_settings

    if args.fit_backbone and not args.start:
        raise ConfigError('--fit-backbone takes the backbone of --start. Give both.')
    launch = Launch(
        args.config,
        checkpoint=args.start,
        fit_backbone=args.fit_backbone,
        data_root=args.data_root,
        options=parse_options(args.cfg_options),
    )
    cfg = resolve_run(launch, 'train')
    if not cfg.get('train_cfg'):
        cfg = resolve_run(launch, 'test')
    cfg.protocol_data, absent = config_content(cfg)
    for task, settings in protocol_tasks(cfg):
        protocol = make_protocol(settings, task, cfg)
        print(f'{task}: {protocol.name}, version {protocol.version}, hash {protocol.hash}')
        if args.settings:
            print(json.dumps(content_of(settings, task, cfg), indent=1, sort_keys=True))
    if args.left_out:
        for key, reason in read_settings(cfg).left_out.items():
            print(f'{key}: {reason}')
    for folder in absent:
        print(
            f'{Path(folder)} is not there, so the hash is that of the recipe alone. The hash of a '
            'run covers the content of its data sets too; give --data-root.'
        )
    return 0
