"""Run checkpoints through tasks, from conversion to the leaderboard; skip finished steps.

Plans the runs of all checkpoints, tasks and seeds, executes those that are not done, each in
its own process, then collects the records and writes the leaderboard. Re-running continues
where it stopped.

Examples:
  mim-bench run --checkpoint mine=a.pth,method=mae,data=in1k,labels=none --tasks in1k-knn
  mim-bench run --checkpoint a.pth b.pth --tasks in1k-ft,in1k-linear,in1k-knn --gpus 8
  mim-bench run --checkpoint simmim=a.pth --suite proxy --seeds 0,1,2 --dry-run
  mim-bench run --checkpoint dinov2=timm:vit_base_patch14_dinov2.lvd142m mine=a.pth --download
  mim-bench run --checkpoint eva=eva02.pt --timm eva02_base_patch14_224 --tasks in1k-knn
  mim-bench run --checkpoint a.pth --tasks in1k-ft=ummae,ade20k-upernet=ummae --out bench
  mim-bench run --checkpoint a.pth --executor slurm --cluster cluster.yml --detach
  mim-bench run --checkpoint a.pth --suite mine.yml --limit 256:0 --track tensorboard
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mim_bench.cli._console import print_path, showing, wide_console
from mim_bench.cli._launch_arguments import (
    add_cfg_options,
    add_limit,
    add_track,
    positive_number,
    seed,
)
from mim_bench.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from mim_bench.suite.cluster import Detached
    from mim_bench.suite.execute import Patience
    from mim_bench.suite.launching import Launcher, LocalLauncher
    from mim_bench.suite.plan import Places
    from mim_bench.suite.resources import Cluster
    from mim_bench.suite.steps import Outcome, Step

EXECUTORS = ('local', 'slurm', 'command')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        '--checkpoint', nargs='+', action='extend', required=True, metavar='[ID=]CKPT[,KEY=VALUE]',
        help='Evaluate these checkpoints: files in any layout that `mim-bench convert` recognises, '
        'random:BACKBONE for random weights, timm:NAME.TAG for weights of timm, or timm:NAME for a '
        'network of timm with random weights. KEY=VALUE states a fact (method, data, labels, '
        'epochs, img_size, licence) or how the file is read (timm, source, container, prefix).',
    )  # fmt: skip
    parser.add_argument(
        '--timm', nargs='+', action='extend', default=[], metavar='[ID=]NAME',
        help="Read the files as checkpoints of these networks of timm, by timm's loader (default: "
        'recognise the format).',
    )  # fmt: skip
    parser.add_argument(
        '--download',
        action='store_true',
        help="Download weights of timm that are not in timm's cache (default: stop).",
    )
    parser.add_argument(
        '--tasks', metavar='T1,T2=RECIPE',
        help='Run these tasks of the suite, separated by commas, each by its common protocol or '
        'by a RECIPE of a paper (default: all that the backbone can do).',
    )  # fmt: skip
    parser.add_argument(
        '--suite', '--tier', default='full', metavar='NAME|FILE',
        help='Run this suite: full, proxy, smoke, or a YAML file of your own (default: full).',
    )  # fmt: skip
    parser.add_argument(
        '--tasks-file', nargs='+', action='extend', default=[], metavar='FILE',
        help='Add the tasks of these YAML files to the suite (default: none).',
    )  # fmt: skip
    parser.add_argument(
        '--seeds',
        type=_seeds,
        default=(0,),
        metavar='0,1,2',
        help='Run every training with each of these seeds (default: 0).',
    )
    parser.add_argument(
        '--backbone',
        metavar='NAME',
        help='State the backbone of the checkpoints by its name in configs, such as vit-base '
        '(default: recognise it from the weights).',
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('bench'),
        metavar='DIR',
        help='Write everything below this folder (default: bench).',
    )
    parser.add_argument(
        '--data-root', nargs='+', action='extend', default=[], metavar='DIR',
        help='Read all data sets below this folder, or single ones by in1k=DIR, ade20k=DIR and '
        'coco=DIR (default: data; the suite smoke makes embedded data).',
    )  # fmt: skip
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='Check data, checkpoints and two steps of every run, and print estimates instead of '
        'running.',
    )
    parser.add_argument(
        '--assume-tflops', type=positive_number, metavar='X',
        help='With --dry-run, estimate the hours on GPUs that compute X TFLOP/s (default: measure '
        'if there is a GPU, else assume 100).',
    )  # fmt: skip
    _add_execution(parser)
    parser.add_argument(
        '--precision', choices=['recipe', 'fp32', 'fp16', 'bf16'], default='recipe',
        help="Train in this precision (default: each recipe's).",
    )  # fmt: skip
    parser.add_argument(
        '--allow-partial',
        action='store_true',
        help='Accept a checkpoint that fills less than 99 %% of the backbone (default: stop).',
    )
    add_track(parser)
    add_limit(parser)
    add_cfg_options(parser, 'every config')


def _add_execution(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--gpus', type=int, metavar='N', help='Use this many GPUs of this machine (default: all).'
    )
    parser.add_argument(
        '--gpus-per-run',
        type=int,
        metavar='M',
        help='Give each training this many GPUs (default: those of --gpus).',
    )
    parser.add_argument(
        '--workers',
        type=int,
        metavar='N',
        help='Without GPUs, run this many steps in parallel (default: one per core, at most 4).',
    )
    parser.add_argument(
        '--executor',
        choices=EXECUTORS,
        help='Run the steps here (local), as jobs of Slurm (slurm), or through the commands of '
        'another scheduler (command); the default is that of --cluster, else local.',
    )
    parser.add_argument(
        '--cluster', type=Path, metavar='FILE',
        help='Read scheduler, resources and limits of jobs from this YAML file (default: none).',
    )  # fmt: skip
    parser.add_argument(
        '--resources', nargs='+', action='extend', default=[], metavar='[TASK.]KEY=VALUE',
        help='Ask for these resources: nodes, gpus_per_node, cpus_per_gpu, memory_gb, hours, '
        'partition, account, qos, constraint, exclude, reservation (default: those of --cluster).',
    )  # fmt: skip
    parser.add_argument(
        '--submit-command', metavar='TEMPLATE',
        help="Submit a job by this command, for example 'qsub -N {name} {script}'.",
    )  # fmt: skip
    parser.add_argument(
        '--cancel-command',
        metavar='TEMPLATE',
        help="Cancel a job by this command, for example 'qdel {id}'.",
    )
    parser.add_argument(
        '--detach', action='store_true',
        help='Submit all steps as jobs and exit (default: follow the jobs); see `mim-bench status` '
        'and `mim-bench cancel`.',
    )  # fmt: skip
    parser.add_argument(
        '--retries',
        type=int,
        default=0,
        metavar='N',
        help='Repeat a failed run up to this many times (default: 0).',
    )
    parser.add_argument(
        '--timeout-hours',
        type=float,
        metavar='H',
        help='Stop an attempt after this many hours (default: never; for jobs of a cluster the '
        'hours of --resources).',
    )


def run(args: argparse.Namespace) -> int:
    """Plan the runs; then estimate them (``--dry-run``), or execute them and report."""
    from mim_bench.data.imagenet_variants import is_there
    from mim_bench.recipe.limit import Limit
    from mim_bench.suite.backbone_check import feasible
    from mim_bench.suite.checkpoints import rows_of
    from mim_bench.suite.cluster import allot, check_jobs, cluster_launcher, refuse_live_jobs
    from mim_bench.suite.execute import Patience
    from mim_bench.suite.locations import CHECK_NAMES
    from mim_bench.suite.plan import Places, Settings, make_data, plan_rows
    from mim_bench.suite.selection import missing_tasks, parse_tasks, with_data
    from mim_bench.suite.tasks import load_suite

    console = wide_console()
    _check_numbers(args)
    cluster = _cluster(args)
    _check_track(args.track)
    local = _local_launcher(args)
    suite = load_suite(args.suite, tasks_files=args.tasks_file)
    wanted = None if args.tasks is None else parse_tasks(args.tasks, suite)
    # The nodes of a cluster may have folders that this machine lacks.
    root, roots = _data_roots(args.data_root, CHECK_NAMES, must_exist=cluster is None)
    places = Places.of_suite(args.out.resolve(), suite, root, roots)
    rows = rows_of(
        args.checkpoint,
        places.checkpoints,
        suite,
        backbone=args.backbone,
        timm=args.timm,
        download=args.download,
    )
    if wanted is None:
        # The embedded data hold every set of the suite smoke.
        if not places.is_embedded:
            suite = with_data(suite, lambda name: is_there(name, places.data(name)))
        for row in rows:
            if missing := missing_tasks(suite, row.network):
                console.print(f'{row.id}: no config of {", ".join(missing)}, left out.')
    settings = Settings(
        gpus=args.gpus_per_run or len(local.gpus) or args.gpus or (1 if cluster is None else 0),
        precision=args.precision,
        allow_partial=args.allow_partial,
        options=tuple(args.cfg_options),
        cluster=cluster,
        track=args.track,
        limit=args.limit and Limit.parse(args.limit),
    )
    plan = [make_data(places, args.seeds[0])] if places.is_embedded else []
    plan += plan_rows(rows, suite, wanted, places=places, seeds=args.seeds, settings=settings)
    if cluster is not None:
        plan = allot(plan, cluster)
        check_jobs(plan, cluster, suite.tasks)
    # A task that the backbone cannot do is left out, or an error if --tasks names it.
    plan = feasible(
        plan, rows, places.out / 'steps', None if wanted else partial(console.print, markup=False)
    )
    limit_s = args.timeout_hours and args.timeout_hours * 3600
    if args.dry_run:
        # The trials read the embedded data, so its step really runs.
        if places.is_embedded and not _execute(plan[:1], places, local, console).is_complete:
            return 1
        return _dry_run(plan, console, local, args.assume_tflops, limit_s)
    if cluster is None:
        refuse_live_jobs(plan, places.out)
        return run_plan(plan, places, local, console, Patience(args.retries, limit_s))
    launcher = cluster_launcher(places.out, cluster, local)
    launcher.open(plan, cluster)
    try:
        if args.detach:
            return _print_detached(launcher.detach(plan), console)
        # No time limit here: the scheduler limits the time of a job, without its time in the queue.
        return run_plan(plan, places, launcher, console, Patience(args.retries))
    finally:
        launcher.close()


def run_plan(
    plan: 'Sequence[Step]',
    places: 'Places',
    launcher: 'Launcher',
    console: 'Console',
    patience: 'Patience | None' = None,
) -> int:
    """Execute a plan, collect its records, and write and print the leaderboard.

    Returns:
        The exit status: 1 if anything failed.
    """
    from mim_bench.cli._board_view import print_leaderboard
    from mim_bench.report.write import write_report

    outcome = _execute(plan, places, launcher, console, patience)
    console.print(
        f'{len(outcome.ran)} steps ran, {len(outcome.done)} were done before, '
        f'{len(outcome.failed)} failed, {len(outcome.skipped)} could not run.'
    )
    board, paths = write_report(places.results, places.out / 'leaderboard')
    print_leaderboard(board, console)
    for path in paths:
        print_path(path, console)
    return 0 if outcome.is_complete else 1


def _execute(
    plan: 'Sequence[Step]',
    places: 'Places',
    launcher: 'Launcher',
    console: 'Console',
    patience: 'Patience | None' = None,
) -> 'Outcome':
    from mim_bench.cli._suite_view import suite_view
    from mim_bench.suite.execute import Patience, execute

    folder = places.out / 'steps'
    with suite_view(console, folder, launcher.workers) as view:
        return execute(
            plan, folder, launcher=launcher, listener=view, patience=patience or Patience()
        )


def core_environment(workers: int) -> dict[str, str]:
    """Environment that gives each parallel process its share of the cores."""
    from mim_bench.engine.cores import usable_cores

    threads = str(max(usable_cores() // workers, 1))
    return {'OMP_NUM_THREADS': threads, 'MKL_NUM_THREADS': threads}


def _dry_run(
    plan: 'Sequence[Step]',
    console: 'Console',
    local: 'LocalLauncher',
    tflops: float | None,
    limit_s: float | None,
) -> int:
    from mim_bench.cli._trial_table import print_estimates
    from mim_bench.cli.main import main
    from mim_bench.suite.dry_run import try_plan

    # One trial at a time on a GPU, since trials measure time and memory.
    workers = 1 if local.gpus else local.workers
    environment = core_environment(workers)
    if local.gpus:
        environment['CUDA_VISIBLE_DEVICES'] = local.gpus[0]
    with showing(console, 'trying') as show:
        estimates = try_plan(
            plan,
            main,
            environment,
            lambda name: show(f'  try {name}'),
            assumed_tflops=tflops,
            limit_s=limit_s,
            workers=workers,
        )
    print_estimates(estimates, console)
    return 0 if all(estimate.can_start for estimate in estimates) else 1


def _check_numbers(args: argparse.Namespace) -> None:
    if args.gpus_per_run is not None and args.gpus_per_run < 1:
        raise ConfigError(f'--gpus-per-run {args.gpus_per_run}: must be 1 or more.')
    if args.retries < 0 or (args.timeout_hours is not None and args.timeout_hours <= 0):
        raise ConfigError(
            f'--retries {args.retries}, --timeout-hours {args.timeout_hours}: the first must be 0 '
            'or more, the second more than 0.'
        )


def _check_track(names: Sequence[str]) -> None:
    if names:  # mmengine is imported for them only
        from mim_bench.engine.tracking import check_trackers

        check_trackers(names)


def _local_launcher(args: argparse.Namespace) -> 'LocalLauncher':
    from mim_bench.cli.main import main
    from mim_bench.suite.devices import choose_gpus, count_workers, visible_gpus
    from mim_bench.suite.forking import ForkingLauncher
    from mim_bench.suite.launching import LocalLauncher

    workers = count_workers(args.workers)
    is_local = _is_local(args)
    gpus = choose_gpus(args.gpus, visible_gpus()) if is_local else []
    if gpus or args.dry_run or not is_local:
        environment = {} if gpus else core_environment(workers)
        return LocalLauncher(gpus=gpus, workers=workers, environment=environment)
    return ForkingLauncher(main, workers=workers, environment=core_environment(workers))


def _is_local(args: argparse.Namespace) -> bool:
    """Whether the steps run on this machine."""
    return args.executor == 'local' or (args.executor is None and args.cluster is None)


def _cluster(args: argparse.Namespace) -> 'Cluster | None':
    """The cluster that file and options describe; None for this machine."""
    from mim_bench.suite.resources import read_cluster

    if _is_local(args):
        words = [*args.resources, args.submit_command, args.cancel_command, args.cluster]
        if args.detach or any(words):
            raise ConfigError(
                '--detach, --resources, --cluster, --submit-command and --cancel-command are for '
                'jobs of a cluster. Add --executor slurm or --executor command.'
            )
        return None
    hours = [] if args.timeout_hours is None else [f'hours={args.timeout_hours}']
    cluster = read_cluster(args.cluster).changed([*hours, *args.resources])
    given = {
        'executor': args.executor,
        'submit_command': args.submit_command,
        'cancel_command': args.cancel_command,
    }
    return cluster.model_copy(update={k: v for k, v in given.items() if v is not None})


def _print_detached(result: 'Detached', console: 'Console') -> int:
    console.print(
        f'{len(result.submitted)} jobs submitted, {len(result.in_queue)} were in the queue, '
        f'{len(result.done)} steps were done, {len(result.failed)} jobs were not taken, '
        f'{len(result.not_submitted)} steps wait for others. `mim-bench status` shows them; the '
        'same `mim-bench run` continues.'
    )
    for name, error in result.failed.items():
        console.print(f'{name}: {error}', markup=False, highlight=False, soft_wrap=True)
    return 1 if result.failed else 0


def _data_roots(
    words: Sequence[str], known: Mapping[str, str], *, must_exist: bool
) -> tuple[Path | None, dict[str, Path]]:
    """The folder of all data sets, and folders of single ones."""
    root, roots = None, {}
    for word in words:
        name, equals, place = word.partition('=')
        if equals and name in known:
            roots[name] = Path(place).resolve()
        elif equals and not Path(word).exists():
            raise ConfigError(
                f'--data-root {word}: {name!r} is not a data set. Known: {", ".join(known)}.'
            )
        elif root is not None:
            raise ConfigError(
                f'--data-root: {root} and {word} are two folders of all data sets. Give one, and '
                'single data sets as SET=DIR.'
            )
        else:
            root = Path(word).resolve()
    for folder in filter(None, (root, *roots.values())):
        if must_exist and not folder.is_dir():
            raise ConfigError(f'--data-root: {folder} is not a folder. Give the one of the data.')
    return root, roots


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(seed(part) for part in text.split(','))
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not numbers separated by commas') from None
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f'{text!r} names a seed twice')
    return seeds
