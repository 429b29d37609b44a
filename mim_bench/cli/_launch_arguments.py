"""Arguments that ``train`` and ``test`` share. No subcommand."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from mim_bench.errors import ConfigError
from mim_bench.results.record import Cause
from mim_bench.results.stated_facts import FACTS, parse_facts

if TYPE_CHECKING:
    from mim_bench.engine.launch import Launch

_FIELDS = ('id', 'backbone', 'source', 'sha256', 'params', 'pretrain_epochs', 'pretrain_data')
_RECORD_KEYS = {**FACTS, **{name: name for name in (*_FIELDS, 'file')}}


def add_launch_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shared arguments to a parser."""
    parser.add_argument('config', help='Run this config file.')
    parser.add_argument(
        '--checkpoint',
        help='Fill the backbone from this checkpoint, which `mim-bench convert` or a run wrote '
        '(default: the weights that the config starts from).',
    )
    parser.add_argument(
        '--fit-backbone',
        action='store_true',
        help="Give the backbone the architecture of --checkpoint (default: the config's).",
    )
    parser.add_argument(
        '--work-dir',
        help='Write logs and checkpoints into this folder (default: work_dirs/ and the '
        "config's name).",
    )
    parser.add_argument(
        '--data-root',
        help='Read the data set from this folder or one above it (default: the data_root of the '
        'config).',
    )
    parser.add_argument(
        '--own-data',
        metavar='NAME',
        help='Train on data of your own in --data-root, which have the layout of the data set of '
        'the config; the classes are read from them, and the task is called NAME-....',
    )
    parser.add_argument(
        '--seed',
        type=seed,
        help="Run with this seed (default: the config's; in the test of a trained model, that of "
        'its training).',
    )
    parser.add_argument(
        '--allow-partial',
        action='store_true',
        help='Accept a checkpoint that fills less than 99 %% of the backbone (default: stop).',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm'],
        default='none',
        help='State what starts the processes of a distributed run (default: none, one process).',
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--results-dir', help="Write the run's record into this folder (default: write none)."
    )
    parser.add_argument(
        '--run-id', help='Give the record this name (default: TASK-CHECKPOINT-sSEED).'
    )
    add_checkpoint_facts(parser)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        '--dry-run',
        type=Path,
        metavar='FILE',
        help='Instead of the run, do two steps on synthetic data and write their time and memory '
        'into this JSON file; without a GPU, estimate them for a recipe that needs one.',
    )
    parser.add_argument(
        '--assume-tflops',
        type=positive_number,
        metavar='X',
        help='With --dry-run, estimate the hours on GPUs that compute X TFLOP/s (default: measure '
        'if there is a GPU, else assume 100).',
    )
    instead.add_argument(
        '--record-failure',
        metavar='TEXT',
        help='Instead of the run, write the record of one that was killed, with this error.',
    )
    parser.add_argument(
        '--failure-cause',
        choices=get_args(Cause),
        default='error',
        help='State the cause for --record-failure (default: error).',
    )
    parser.add_argument(
        '--dist-timeout',
        type=positive_number,
        metavar='MIN',
        help='Fail if a process waits longer than this many minutes for the others (default: 30).',
    )
    add_track(parser)
    add_limit(parser)
    # torch.distributed.launch passes it; torchrun sets the environment instead.
    parser.add_argument('--local-rank', '--local_rank', type=int, help=argparse.SUPPRESS)


def launch_from(args: argparse.Namespace, **more: object) -> 'Launch':
    """Make a launch from the parsed arguments that are named as its fields, and ``more``."""
    from mim_bench.engine.launch import Launch

    given = {f.name: getattr(args, f.name) for f in fields(Launch) if hasattr(args, f.name)}
    converted = {
        'options': parse_options(args.cfg_options),
        'record_checkpoint': record_facts(
            args.record_checkpoint, must_exist=args.record_failure is None
        ),
        'dist_timeout_s': args.dist_timeout and args.dist_timeout * 60,
    }
    return Launch(**{**given, **converted, **more})


def run_instead(args: argparse.Namespace, launch: 'Launch', command: str) -> bool:
    """Handle ``--dry-run`` and ``--record-failure``; False if neither is given."""
    if args.dry_run is not None:
        from mim_bench.files.atomic import write_atomically
        from mim_bench.profiling.trial import try_out

        text = json.dumps(try_out(launch, command, args.assume_tflops).to_dict(), indent=2)
        write_atomically({args.dry_run: (text + '\n').encode()})
        return True
    if args.record_failure is not None:
        from mim_bench.engine.launch import record_outside_failure

        record_outside_failure(launch, command, args.record_failure, args.failure_cause)
        return True
    return False


def add_checkpoint_facts(parser: argparse.ArgumentParser) -> None:
    """Declare ``--record-checkpoint``, whose words :func:`record_facts` reads."""
    parser.add_argument(
        '--record-checkpoint',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='State facts of the checkpoint for the record: id, backbone, method, data, labels '
        '(in1k+ade20k, or none), epochs, img_size, params, licence, source, sha256; or take '
        'them from a file by file=CKPT (default: what its file says).',
    )


def record_facts(words: Sequence[str], *, must_exist: bool = True) -> dict:
    """Parse the words of ``--record-checkpoint``, whose file must exist unless a run has failed.

    Raises:
        ConfigError: See :func:`mim_bench.results.stated_facts.parse_facts`; or there is no file.
    """
    facts = parse_facts(words, '--record-checkpoint', _RECORD_KEYS)
    file = facts.get('file')
    if must_exist and file and not Path(file).is_file():
        raise ConfigError(
            f'--record-checkpoint file={file}: there is no such file. Check the path.'
        )
    return facts


def add_cfg_options(parser: argparse.ArgumentParser, what: str = 'the config') -> None:
    """Declare ``--cfg-options``; ``what`` names the configs that it changes."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help=f'Change settings of {what}, for example train_dataloader.batch_size=32 (default: '
        'none).',
    )


def add_track(parser: argparse.ArgumentParser) -> None:
    """Declare ``--track``, names separated by commas."""
    parser.add_argument(
        '--track',
        type=lambda text: tuple(filter(None, (word.strip() for word in text.split(',')))),
        default=(),
        metavar='NAME1,NAME2',
        help='Send losses and metrics to these trackers: tensorboard, wandb, mlflow (default: '
        'none).',
    )


def add_limit(parser: argparse.ArgumentParser) -> None:
    """Declare ``--limit``."""
    parser.add_argument(
        '--limit',
        metavar='N[:SEED]',
        help='Use the first N images of each data set, or with SEED a random sample (default: '
        'all); such a run has the tier smoke and is not ranked beside complete ones.',
    )


def seed(text: str) -> int:
    """Parse a seed that every random generator takes."""
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f'{text} is not a whole number from 0 to {2**32 - 1}')
    return number


def positive_number(text: str) -> float:
    """Parse a number above 0."""
    number = float(text)
    if not 0 < number < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} is not a number above 0')
    return number


def parse_options(words: list[str]) -> dict:
    """Parse ``KEY=VALUE`` words as mmengine does: numbers, booleans, lists, tuples.

    Raises:
        ConfigError: A word has another form, or brackets that do not match.
    """
    from mmengine.config import DictAction

    options: dict = {}
    for word in words:
        key, sign, value = word.partition('=')
        if not (key and sign):
            raise ConfigError(f'{word!r} changes no setting. Write KEY=VALUE, without spaces.')
        try:
            options[key] = DictAction._parse_iterable(value)
        except AssertionError:
            raise ConfigError(f'{word}: brackets do not match. Write "{key}=[1,2]".') from None
    return options
