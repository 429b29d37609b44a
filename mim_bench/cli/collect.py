"""Make records of work directories that plain mmengine runs left (mmpretrain, mmdet, mmseg).

Example:
  mim-bench collect work_dirs/upernet_swin-tiny --results-dir results --task ade20k-upernet --record-checkpoint id=swin-tiny.simmim method=simmim backbone=swin-tiny
"""  # noqa: E501

import argparse
from pathlib import Path

from mim_bench.cli._launch_arguments import add_checkpoint_facts, record_facts, seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'work_dirs',
        type=Path,
        nargs='+',
        metavar='WORK_DIR',
        help='Read this work directory of a run, or all below this folder.',
    )
    parser.add_argument(
        '--results-dir',
        type=Path,
        required=True,
        metavar='DIR',
        help='Write the records into this folder.',
    )
    parser.add_argument(
        '--task', help="State the task of the records (default: that of the config's protocol)."
    )
    add_checkpoint_facts(parser)
    parser.add_argument('--seed', type=seed, help="State the seed of the run (default: its log's).")
    parser.add_argument(
        '--tier',
        choices=['full', 'proxy', 'smoke'],
        default='full',
        help='State the tier of runs whose config names none (default: full).',
    )
    parser.add_argument(
        '--run-id', help='Give the record of a single work directory this name (default: its own).'
    )
    parser.add_argument(
        '--best', action='store_true', help='Record the best evaluation instead of the last.'
    )


def run(args: argparse.Namespace) -> int:
    """Collect each folder; name the folders without a record."""
    from rich.console import Console

    from mim_bench.engine.collected_records import Wanted, collect_work_dir
    from mim_bench.engine.work_dir import find_work_dirs
    from mim_bench.errors import ConfigError, RecordError

    found = [path for folder in args.work_dirs for path in find_work_dirs(folder)]
    if args.run_id and len(found) > 1:
        raise ConfigError(
            f'--run-id names one record, but there are {len(found)} runs. Leave it out.'
        )
    wanted = Wanted(
        task=args.task,
        checkpoint=record_facts(args.record_checkpoint),
        seed=args.seed,
        tier=args.tier,
        run_id=args.run_id,
        best=args.best,
    )
    console = Console(soft_wrap=True, highlight=False)
    num_left_out = 0
    for path in found:
        try:
            written = collect_work_dir(path, args.results_dir, wanted)
        except (RecordError, ConfigError) as error:
            num_left_out += 1
            console.print(f'left out: {path}: {error}', markup=False, style='yellow')
        else:
            for record in written:
                console.print(str(record), markup=False)
    empty = [folder for folder in args.work_dirs if not find_work_dirs(folder)]
    for folder in empty:
        console.print(
            f'left out: {folder}: no run of mmengine in it.', markup=False, style='yellow'
        )
    return 1 if num_left_out or empty else 0
