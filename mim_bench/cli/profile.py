"""Measure the training step of configs side by side: speed, memory, parameters, FLOPs.

Takes any pre-training, classification, segmentation and detection config, on synthetic
input. Each config runs in its own process; the processes take turns, so that disturbances
affect all alike. The others are compared with the first config (or --baseline).

--estimate needs no GPU and measures nothing: it reports the memory of the tensors of a step on a
GPU, its operations, and the recipe's hours at an assumed throughput. --graph-breaks counts where
torch.compile breaks the graph of the networks, on the CPU. --loader measures how fast training
images are read and augmented, and how many cores a GPU needs for that. --hooks times the hooks
alone.

Examples:
  mim-bench profile configs/pretrain/mae/A.py configs/pretrain/simmim/B.py --json profile.json
  mim-bench profile A.py B.py --batch-size 8 --threads 2 --no-optimizer
  mim-bench profile A.py --variant A.py model.backbone.mask_ratio=0.5
  mim-bench profile A.py B.py --device cuda --estimate --assume-tflops 120
  mim-bench profile A.py B.py --graph-breaks
  mim-bench profile A.py --variant A.py loading=plain --loader --data-root data/imagenet
  mim-bench profile A.py --hooks
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mim_bench.cli._console import print_path, showing, wide_console
from mim_bench.cli._launch_arguments import (
    add_cfg_options,
    parse_options,
    positive_number,
    seed,
)
from mim_bench.errors import ConfigError, MimBenchError, TrainingError

if TYPE_CHECKING:
    from mim_bench.profiling.comparison import Comparison, Entry


DEFAULT_BATCH = 8
_DEFAULTS = {'repeats': 10, 'warmup': 3, 'seed': 0, 'images': 32, 'train_speed': 2000.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'configs', nargs='*', metavar='CONFIG', help='Measure the training step of these configs.'
    )
    parser.add_argument(
        '--variant',
        nargs='+',
        action='append',
        default=[],
        metavar=('CONFIG', 'KEY=VALUE'),
        help='Measure this config with changed settings too; may be repeated.',
    )
    add_cfg_options(parser, 'every config')
    parser.add_argument(
        '--baseline', metavar='CONFIG', help='Compare with this config (default: the first).'
    )
    parser.add_argument(
        '--device', help='Compute on this device (default: the GPU if there is one).'
    )
    parser.add_argument(
        '--batch-size',
        type=_positive,
        metavar='N',
        help="Use this batch size (default: 8; with --estimate the recipe's).",
    )
    parser.add_argument(
        '--precision',
        choices=['fp32', 'bf16', 'fp16'],
        help="Compute in this precision (default: fp32; with --estimate the recipe's).",
    )
    parser.add_argument(
        '--no-optimizer', action='store_true', help='Measure forward and backward pass only.'
    )
    parser.add_argument(
        '--compile', action='store_true', help='Compile the model with torch.compile.'
    )
    parser.add_argument(
        '--threads',
        type=_positive,
        metavar='N',
        help="Use this many CPU threads (default: torch's choice).",
    )
    parser.add_argument(
        '--repeats',
        type=_positive,
        default=_DEFAULTS['repeats'],
        metavar='N',
        help='Time this many turns (default: 10).',
    )
    parser.add_argument(
        '--warmup',
        type=_positive,
        default=_DEFAULTS['warmup'],
        metavar='N',
        help='Run this many steps before timing (default: 3).',
    )
    parser.add_argument(
        '--seed',
        type=seed,
        default=_DEFAULTS['seed'],
        help='Draw weights and input with this seed (default: 0).',
    )
    parser.add_argument(
        '--find-batch', action='store_true', help='Find the largest batch that fits the GPU too.'
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        '--estimate',
        action='store_true',
        help='Instead of measuring, estimate memory and hours on a GPU, which need not exist.',
    )
    parser.add_argument(
        '--assume-tflops',
        type=positive_number,
        metavar='X',
        help='With --estimate, assume a GPU that computes X TFLOP/s (default: 100).',
    )
    instead.add_argument(
        '--graph-breaks',
        action='store_true',
        help='Instead of measuring, count the graph breaks of torch.compile.',
    )
    instead.add_argument(
        '--hooks',
        action='store_true',
        help='Instead of the training step, time the hooks of each config on the CPU, without a '
        'network, at batches of 128 to 4,096 (or --batch-size).',
    )
    instead.add_argument(
        '--loader',
        action='store_true',
        help='Instead of the training step, measure the loading of training images.',
    )
    parser.add_argument(
        '--data-root',
        metavar='DIR',
        help='With --loader, read this folder or archive (default: made-up photographs).',
    )
    parser.add_argument(
        '--images',
        type=_positive,
        default=_DEFAULTS['images'],
        metavar='N',
        help='With --loader, load this many images in each turn (default: 32).',
    )
    parser.add_argument(
        '--workers',
        type=_positive,
        nargs='+',
        action='extend',
        default=[],
        metavar='N',
        help='With --loader, measure DataLoaders of these numbers of workers too (default: none).',
    )
    parser.add_argument(
        '--train-speed',
        type=positive_number,
        default=_DEFAULTS['train_speed'],
        metavar='X',
        help='With --loader, print the cores for a GPU that trains X images a second (default: '
        '2000).',
    )
    parser.add_argument(
        '--markdown',
        type=Path,
        metavar='FILE',
        help='Write the table of --estimate, --graph-breaks or --loader as Markdown too.',
    )
    parser.add_argument(
        '--json', type=Path, metavar='FILE', help='Write all results into this JSON file too.'
    )


def run(args: argparse.Namespace) -> int:
    """Measure or estimate, print the table, write the files."""
    kind = next((kind for kind in _KINDS if getattr(args, kind)), 'measure')
    for name, kinds in _READ_BY.items():
        is_given = getattr(args, name) not in (None, False, [], _DEFAULTS.get(name))
        if is_given and kind not in kinds:
            needs = ' or '.join(_flag(k) for k in kinds)
            how = f'has no effect with {_flag(kind)}' if 'measure' in kinds else f'needs {needs}'
            raise ConfigError(f'{_flag(name)} {how}. Leave it out.')
    return {'measure': _measure, **_KINDS}[kind](args)


def _flag(name: str) -> str:
    return f'--{name.replace("_", "-")}'


def _measure(args: argparse.Namespace) -> int:
    import torch

    from mim_bench.cli._profile_tables import profile_table
    from mim_bench.engine.environment import usable_device
    from mim_bench.profiling.comparison import Plan, compare
    from mim_bench.profiling.training_step import StepSettings

    device = str(usable_device(args.device))
    if args.find_batch and torch.device(device).type != 'cuda':
        raise ConfigError(
            f'--find-batch needs a GPU, but the device is {device}. Leave it out, or give --device '
            'cuda.'
        )
    plan = Plan(
        entries=_entries(args),
        settings=StepSettings(
            device, args.precision or 'fp32', not args.no_optimizer, args.compile
        ),
        batch_size=args.batch_size or DEFAULT_BATCH,
        threads=args.threads,
        repeats=args.repeats,
        warmup=args.warmup,
        finds_batch=args.find_batch,
        seed=args.seed,
    )
    console = wide_console()
    with showing(console) as show:
        comparison = compare(plan, show)
    console.print(profile_table(comparison))
    _write_files(args, console, _in_environment(comparison) if args.json else None)
    return 0


def _in_environment(comparison: 'Comparison') -> dict[str, Any]:
    """A comparison as plain data, with what it was measured on."""
    import torch

    from mim_bench.engine.environment import describe_environment, device_name
    from mim_bench.results.record import utc_now

    environment = describe_environment(None)
    environment.pop('library')  # entries may be of several libraries
    return {
        'created_at': utc_now(),
        'environment': environment,
        'device_name': device_name(torch.device(comparison.plan.settings.device)),
        **comparison.to_dict(),
    }


def _estimate(args: argparse.Namespace) -> int:
    from mim_bench.cli._profile_tables import EstimateRow, estimate_markdown, estimate_table
    from mim_bench.profiling.estimate import ASSUMED_TFLOPS, estimate_config
    from mim_bench.profiling.fake_step import OwnProcess

    if (args.device or 'cuda') != 'cuda':
        raise ConfigError('--estimate simulates steps on a GPU. Leave --device cpu out.')
    tflops = args.assume_tflops or ASSUMED_TFLOPS
    console = wide_console()
    rows, failures = [], []
    with OwnProcess() as process, showing(console) as show:
        for entry in _entries(args):
            show(entry.name)
            try:
                estimate = estimate_config(
                    entry.config,
                    entry.options,
                    precision=args.precision or 'recipe',
                    batch_size=args.batch_size,
                    has_optimizer=not args.no_optimizer,
                    process=process,
                )
            # A network's own error too, of a batch of one, say: others have minutes behind them.
            except (MimBenchError, RuntimeError, ValueError) as error:
                failures.append(f'{entry.name}: {error}')
            else:
                rows.append(EstimateRow(entry.name, estimate))
    console.print(estimate_table(rows, tflops))
    content = {
        'is_estimate': True,
        'assumed_tflops': tflops,
        'estimates': [
            {'name': row.name, **row.estimate.to_dict(), 'hours': row.estimate.hours(tflops)}
            for row in rows
        ],
    }
    _write_files(args, console, content, estimate_markdown(rows, tflops))
    if failures:
        raise TrainingError('These could not be estimated:\n' + '\n'.join(failures))
    return 0


def _hooks(args: argparse.Namespace) -> int:
    """Print the host time of hooks."""
    from mim_bench.cli._profile_tables import hook_table
    from mim_bench.profiling.hook_time import hook_times
    from mim_bench.recipe.config import load_config

    console = Console()
    sizes = [args.batch_size] if args.batch_size else [128, 512, 1024, 2048, 4096]
    found = {}
    for entry in _entries(args):
        cfg = load_config(entry.config, dict(entry.options))
        found[entry.name] = times = {size: hook_times(cfg, size) for size in sizes}
        console.print(hook_table(entry.name, times))
    _write_files(args, console, {'hooks': found})
    return 0


def _graph_breaks(args: argparse.Namespace) -> int:
    from mim_bench.cli._profile_tables import graph_break_markdown, graph_break_table
    from mim_bench.profiling.graph_breaks import graph_breaks_of_config

    console = wide_console()
    rows = {}
    with showing(console) as show:
        for entry in _entries(args):
            show(entry.name)
            rows[entry.name] = graph_breaks_of_config(entry.config, entry.options)
    console.print(graph_break_table(rows))
    content = {'graph_breaks': {name: asdict(row) for name, row in rows.items()}}
    _write_files(args, console, content, graph_break_markdown(rows))
    return 0


def _loader(args: argparse.Namespace) -> int:
    from mim_bench.cli._profile_tables import loading_markdown, loading_table
    from mim_bench.profiling.loading import measure_loading
    from mim_bench.recipe.config import load_config, set_data_root

    console = wide_console()
    entries = []
    for entry in _entries(args):
        cfg = load_config(entry.config, dict(entry.options))
        if args.data_root:
            set_data_root(cfg, args.data_root)
        entries.append((entry.name, cfg))
    with showing(console) as show:
        found = measure_loading(
            entries, images=args.images, turns=args.repeats, workers=args.workers, report=show
        )
    console.print(loading_table(found, args.train_speed))
    content = {'train_speed': args.train_speed, 'loading': [each.to_dict() for each in found]}
    _write_files(args, console, content, loading_markdown(found, args.train_speed))
    return 0


# Kinds of measurement in place of the training step, by the name of their option.
_KINDS = dict(estimate=_estimate, graph_breaks=_graph_breaks, hooks=_hooks, loader=_loader)
# The kinds that read an option, or refuse it themselves; 'measure' is the training step.
_READ_BY = {
    'device': ('measure', 'estimate'),
    'batch_size': ('measure', 'estimate', 'hooks'),
    'precision': ('measure', 'estimate'),
    'no_optimizer': ('measure', 'estimate'),
    'compile': ('measure',),
    'find_batch': ('measure',),
    'threads': ('measure',),
    'repeats': ('measure', 'loader'),
    'warmup': ('measure',),
    'seed': ('measure',),
    'images': ('loader',),
    'train_speed': ('loader',),
    'assume_tflops': ('estimate',),
    'data_root': ('loader',),
    'workers': ('loader',),
    'markdown': ('estimate', 'graph_breaks', 'loader'),
}


def _write_files(
    args: argparse.Namespace, console: Console, content: Any, markdown: str = ''
) -> None:
    """Write the files that the user asks for, and print their paths."""
    from mim_bench.files.atomic import write_atomically

    files = {}
    if args.markdown is not None:
        files[args.markdown] = markdown.encode()
    if args.json is not None:
        files[args.json] = (json.dumps(content, indent=2) + '\n').encode()
    write_atomically(files)
    for path in files:
        print_path(path, console)


def _entries(args: argparse.Namespace) -> list['Entry']:
    """The entries, all tried now: the baseline, the other configs, then the variants."""
    chosen = [(path, []) for path in args.configs] + [(v[0], v[1:]) for v in args.variant]
    if args.baseline:
        chosen = [c for c in chosen if c != (args.baseline, [])]
        chosen.insert(0, (args.baseline, []))
    if not chosen:
        raise ConfigError('There is nothing to profile. Give one config or more.')
    entries = [_entry(path, [*args.cfg_options, *words], words) for path, words in chosen]
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f'{", ".join(twice)}: given twice. Give each config once.')
    return entries


def _entry(path: str, options: Sequence[str], own: Sequence[str]) -> 'Entry':
    from mim_bench.profiling.comparison import Entry
    from mim_bench.recipe.config import load_config

    entry = Entry(' '.join([Path(path).stem, *own]), path, parse_options(list(options)))
    load_config(path, dict(entry.options))  # raises now instead of after minutes
    return entry


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{text} is not at least 1')
    return number
