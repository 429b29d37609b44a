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
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from mim_bench.cli._launch_arguments import add_cfg_options, positive_number, seed
from mim_bench.errors import ConfigError, MimBenchError, TrainingError

if TYPE_CHECKING:
    from mim_bench.profiling.comparison import Comparison, Entry


DEFAULT_BATCH = 8


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
        default=10,
        metavar='N',
        help='Time this many turns (default: 10).',
    )
    parser.add_argument(
        '--warmup',
        type=_positive,
        default=3,
        metavar='N',
        help='Run this many steps before timing (default: 3).',
    )
    parser.add_argument(
        '--seed', type=seed, default=0, help='Draw weights and input with this seed (default: 0).'
    )
    parser.add_argument(
        '--find-batch', action='store_true', help='Find the largest batch that fits the GPU too.'
    )
    parser.add_argument(
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
    parser.add_argument(
        '--graph-breaks',
        action='store_true',
        help='Instead of measuring, count the graph breaks of torch.compile.',
    )
    parser.add_argument(
        '--hooks',
        action='store_true',
        help='Instead of the training step, time the hooks of each config on the CPU, without a '
        'network, at batches of 128 to 4,096 (or --batch-size).',
    )
    parser.add_argument(
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
        default=32,
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
        default=2000.0,
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
    if args.estimate:
        return _estimate(args)
    if args.graph_breaks:
        return _graph_breaks(args)
    if args.hooks:
        return _hooks(args)
    if args.loader:
        return _loader(args)
    if args.data_root or args.workers:
        raise ConfigError('--data-root and --workers need --loader. Add it, or leave them out.')
    if args.assume_tflops or args.markdown:
        raise ConfigError(
            '--assume-tflops needs --estimate; --markdown needs --estimate, --graph-breaks or '
            '--loader. Add one, or leave them out.'
        )
    import torch

    from mim_bench.cli._profile_table import profile_table
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
    # A log file has no width; 160 columns keep the table in one piece.
    console = Console(width=None if sys.stdout.isatty() else 160)
    with console.status('starting') as status:
        # A log gets one line an event instead of a changing line.
        show = status.update if console.is_terminal else console.print
        comparison = compare(plan, lambda text: show(escape(text)))
    console.print(profile_table(comparison))
    if args.json is not None:
        _write(comparison, args.json)
        console.print(str(args.json), markup=False, highlight=False, soft_wrap=True)
    return 0


def _estimate(args: argparse.Namespace) -> int:
    from mim_bench.cli._estimate_table import Row, estimate_table, markdown_table
    from mim_bench.files.atomic import write_atomically
    from mim_bench.profiling.estimate import ASSUMED_TFLOPS, estimate_config
    from mim_bench.profiling.fake_step import OwnProcess

    if (args.device or 'cuda') != 'cuda' or args.compile or args.find_batch:
        raise ConfigError(
            '--estimate simulates plain steps on a GPU. Leave --device cpu, --compile and '
            '--find-batch out.'
        )
    tflops = args.assume_tflops or ASSUMED_TFLOPS
    console = Console(width=None if sys.stdout.isatty() else 160)
    rows, failures = [], []
    with OwnProcess() as process, console.status('starting') as status:
        show = status.update if console.is_terminal else console.print
        for entry in _entries(args):
            show(escape(entry.name))
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
                rows.append(Row(entry.name, estimate))
    console.print(estimate_table(rows, tflops))
    files = {}
    if args.markdown is not None:
        files[args.markdown] = markdown_table(rows, tflops).encode()
    if args.json is not None:
        content = {
            'is_estimate': True,
            'assumed_tflops': tflops,
            'estimates': [
                {'name': row.name, **row.estimate.to_dict(), 'hours': row.estimate.hours(tflops)}
                for row in rows
            ],
        }
        files[args.json] = (json.dumps(content, indent=2) + '\n').encode()
    write_atomically(files)
    for path in files:
        console.print(str(path), markup=False, highlight=False, soft_wrap=True)
    if failures:
        raise TrainingError('These could not be estimated:\n' + '\n'.join(failures))
    return 0


def _hooks(args: argparse.Namespace) -> int:
    """Print the host time of hooks."""
    from mim_bench.cli._hook_table import hook_table
    from mim_bench.cli._launch_arguments import parse_options
    from mim_bench.profiling.hook_time import hook_times
    from mim_bench.recipe.config import load_config

    sizes = [args.batch_size] if args.batch_size else [128, 512, 1024, 2048, 4096]
    for path in args.configs:
        cfg = load_config(path, parse_options(args.cfg_options))
        times = {size: hook_times(cfg, size) for size in sizes}
        Console().print(hook_table(Path(path).name, times))
    return 0


def _graph_breaks(args: argparse.Namespace) -> int:
    from mim_bench.cli._graph_break_table import graph_break_markdown, graph_break_table
    from mim_bench.files.atomic import write_atomically
    from mim_bench.profiling.graph_breaks import graph_breaks_of_config

    console = Console(width=None if sys.stdout.isatty() else 160)
    rows = {}
    with console.status('starting') as status:
        show = status.update if console.is_terminal else console.print
        for entry in _entries(args):
            show(escape(entry.name))
            rows[entry.name] = graph_breaks_of_config(entry.config, entry.options)
    console.print(graph_break_table(rows))
    if args.markdown is not None:
        write_atomically({args.markdown: graph_break_markdown(rows).encode()})
    return 0


def _loader(args: argparse.Namespace) -> int:
    from mim_bench.cli._loading_table import loading_markdown, loading_table
    from mim_bench.files.atomic import write_atomically
    from mim_bench.profiling.loading import measure_loading
    from mim_bench.recipe.config import load_config, set_data_root

    console = Console(width=None if sys.stdout.isatty() else 160)
    entries = []
    for entry in _entries(args):
        cfg = load_config(entry.config, dict(entry.options))
        if args.data_root:
            set_data_root(cfg, args.data_root)
        entries.append((entry.name, cfg))
    with console.status('starting') as status:
        show = status.update if console.is_terminal else console.print
        found = measure_loading(
            entries,
            images=args.images,
            turns=args.repeats,
            workers=args.workers,
            report=lambda text: show(escape(text)),
        )
    console.print(loading_table(found, args.train_speed))
    files = {}
    if args.markdown is not None:
        files[args.markdown] = loading_markdown(found, args.train_speed).encode()
    if args.json is not None:
        content = dict(train_speed=args.train_speed, loading=[each.to_dict() for each in found])
        files[args.json] = (json.dumps(content, indent=2) + '\n').encode()
    write_atomically(files)
    return 0


def _entries(args: argparse.Namespace) -> list['Entry']:
    """The entries: the baseline, the other configs, then the variants; all are loaded once."""
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
    from mim_bench.cli._launch_arguments import parse_options
    from mim_bench.profiling.comparison import Entry
    from mim_bench.recipe.config import load_config

    entry = Entry(' '.join([Path(path).stem, *own]), path, parse_options(list(options)))
    load_config(path, dict(entry.options))  # raises now instead of after minutes
    return entry


def _write(comparison: 'Comparison', path: Path) -> None:
    import torch

    from mim_bench.engine.environment import describe_environment, device_name
    from mim_bench.files.atomic import write_atomically
    from mim_bench.results.record import utc_now

    environment = describe_environment(None)
    environment.pop('library')  # entries may be of several libraries
    content = {
        'created_at': utc_now(),
        'environment': environment,
        'device_name': device_name(torch.device(comparison.plan.settings.device)),
        **comparison.to_dict(),
    }
    write_atomically({path: (json.dumps(content, indent=2) + '\n').encode()})


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{text} is not at least 1')
    return number
