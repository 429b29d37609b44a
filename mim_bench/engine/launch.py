"""Runs a config: what ``tools/train.py``, ``tools/test.py`` and the suite call."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from mim_bench.conversion.files import meta_of, read_checkpoint
from mim_bench.conversion.weight_files import latest_checkpoint, weights_file
from mim_bench.data.seeding import SKIP_LIST
from mim_bench.engine.boundary import explained_failure, ignoring_dead_workers
from mim_bench.engine.checkpoint_identity import record_checkpoint, start_facts
from mim_bench.engine.config_layout import import_layout
from mim_bench.engine.cpu_distributed import is_cpu_run, leaving_process_group
from mim_bench.engine.fsdp import KEY as FSDP
from mim_bench.engine.fsdp import check_sharding
from mim_bench.engine.hooks.cost_ledger_hook import flush_ledger
from mim_bench.engine.hooks.record_hook import record_failure
from mim_bench.engine.one_training import is_first_process, only_training
from mim_bench.engine.preemption import StopRequest, interruption_behind, seconds_of_job
from mim_bench.engine.run_record import is_record_hook, split_protocol
from mim_bench.engine.runner import BenchRunner
from mim_bench.engine.tracking import tracking_settings
from mim_bench.errors import ConfigError, TrainingError
from mim_bench.evaluation.probes.fitted import FittedProbes
from mim_bench.recipe.building import build_model, explained, library_scope, without_values
from mim_bench.recipe.config import (
    check_data_roots,
    load_config,
    set_data_root,
)
from mim_bench.recipe.effective_batch import BatchPlan, apply_plan, num_processes
from mim_bench.recipe.limit import Limit, apply_limit
from mim_bench.recipe.optimizer_groups import LayerGroup, layer_groups
from mim_bench.recipe.own_data import use_own_data
from mim_bench.recipe.precision import AMP_WRAPPER, disable_amp, set_precision
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.recipe.robustness import FITTED_LOOP, use_variant
from mim_bench.recipe.start import protocol_start, start_weights
from mim_bench.recipe.tta import use_test_time_augmentation
from mim_bench.registry import RUNNERS
from mim_bench.results.record import Cause, check_run_id, run_id_of
from mim_bench.shipped import shipped_config

NO_PLAN = (
    'Batch: the config does not say its effective_batch_size, so nothing is adjusted to the '
    'number of processes.'
)


@dataclass(frozen=True)
class Launch:
    """How to run a config.

    Attributes:
        config: Path of the config.
        work_dir: Folder of logs and checkpoints; ``work_dirs/<config name>`` if None.
        checkpoint: Canonical checkpoint that fills the backbone, or a work directory with one.
        load_from: Checkpoint of the whole model, or the work directory of its training.
        fit_backbone: Take the backbone of the checkpoint in place of the config's.
        allow_partial: Accept a checkpoint that fills less than 99 % of the backbone.
        auto_resume: Resume from the newest checkpoint of the work directory, if there is one.
        seed: Seed of the run. Defaults to the config's, and of a test to that of the training.
        data_root: Replaces the config's.
        launcher: What starts the processes: 'none', 'pytorch' or 'slurm'.
        precision: 'recipe', 'fp32', 'fp16' or 'bf16'.
        keep_batch: On another number of GPUs 'accumulate' keeps the recipe's batch, 'scale-lr'
            scales its learning rate, 'off' leaves both.
        fsdp: Shard weights, gradients and optimiser over the processes (FSDP2).
        options: Overrides by dotted key.
        results_dir: Folder for the run's record; no record if None.
        record_checkpoint: Facts that the user states about the record's checkpoint. ``file`` is
            the row's file, if the run starts from another one; None: random weights.
        run_id: Name of the record.
        tta: Test with the config's test-time augmentation.
        save_minutes: Longest time between two checkpoints. Defaults to the hook's.
        dist_timeout_s: Seconds that a process waits for the others. Defaults to the
            config's, else 30 minutes.
        time_limit_s: Seconds until this process is ended from outside. Defaults to the rest of the
            Slurm job, if there is one.
        on_bad_image: 'stop' at a training image that cannot be read, or 'skip' it.
        own_data: Name of the user's own data set, whose classes replace those of the config; None:
            the data set is the config's.
        track: Names of the trackers that follow the run.
        limit: Images of each data set to use (:meth:`mim_bench.recipe.limit.Limit.parse` reads
            it); None: all.
        variant: Name of a test set of robustness that a classifier or probes are tested on;
            ``data_root`` is that of the set, ``load_from`` of probes the work directory of their
            test.
    """

    config: str
    work_dir: str | None = None
    checkpoint: str | None = None
    load_from: str | None = None
    fit_backbone: bool = False
    allow_partial: bool = False
    auto_resume: bool = False
    seed: int | None = None
    data_root: str | None = None
    launcher: str = 'none'
    precision: str = 'recipe'
    keep_batch: str = 'accumulate'
    fsdp: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    results_dir: str | None = None
    record_checkpoint: Mapping[str, Any] | None = None
    run_id: str | None = None
    tta: bool = False
    dist_timeout_s: float | None = None
    save_minutes: float | None = None
    time_limit_s: float | None = None
    on_bad_image: str = 'stop'
    own_data: str | None = None
    track: Sequence[str] = ()
    limit: str | None = None
    variant: str | None = None


def train(launch: Launch) -> BenchRunner:
    """Train a config.

    Raises:
        MimBenchError: An error that the user can fix.
        RunInterrupted: The run was asked to stop; it has saved what it can.
    """
    stop = StopRequest(seconds_of_job() if launch.time_limit_s is None else launch.time_limit_s)
    with stop.listening():
        return _train(launch, stop)


def _train(launch: Launch, stop: StopRequest) -> BenchRunner:
    cfg = resolve_training(launch)
    _check_parts(cfg, ('train_dataloader', 'train_cfg', 'optim_wrapper'), 'train', 'test')
    check_data_roots(cfg, ('train_dataloader', 'val_dataloader'))
    _as_training(cfg)
    check_precision(cfg, launch.precision)
    with (
        only_training(cfg.work_dir, launch.launcher, is_restart=launch.auto_resume),
        leaving_process_group(launch.launcher),
        _recorded(cfg) as run,
    ):
        run.runner = build_runner(cfg)
        run.runner.stop_request = stop
        plan = cfg.get('batch_plan')
        run.runner.logger.info(str(BatchPlan.from_record(plan)) if plan else NO_PLAN)
        run.runner.train()
    return run.runner


def test(launch: Launch) -> dict[str, float]:
    """Test a config.

    Returns:
        The metrics.

    Raises:
        MimBenchError: An error that the user can fix.
        RunInterrupted: The run was asked to stop.
    """
    with StopRequest().listening():
        return _test(launch)


def _test(launch: Launch) -> dict[str, float]:
    cfg = resolve(launch)
    _check_parts(cfg, ('test_dataloader', 'test_cfg'), 'test', 'train')
    _check_trained(cfg)
    check_data_roots(cfg, ('test_dataloader', 'test_cfg'))
    _as_test(cfg)
    with leaving_process_group(launch.launcher), _recorded(cfg) as run:
        run.runner = build_runner(cfg)
        metrics = run.runner.test()
    return metrics


def _check_trained(cfg: Config) -> None:
    """Refuse to test the model of a training recipe that nothing has trained."""
    is_loaded = cfg.get('load_from') or (cfg.get('model') or {}).get('init_cfg')
    if cfg.get('train_cfg') and not is_loaded:
        raise ConfigError(
            f'{cfg.filename}: trains its model, and none is given: the head would be random '
            '(--checkpoint fills the backbone only). Name the trained checkpoint, or the work '
            'directory of its training: `mim-bench test CONFIG MODEL`.'
        )


def record_outside_failure(launch: Launch, command: str, text: str, cause: Cause) -> list[Path]:
    """Write the record of a run that was killed before it could do so.

    The config is the one in its work directory, if it is there: it states the number of processes.
    The cost is that of the ledger there.

    Args:
        launch: The launch.
        command: 'train' or 'test'.
        text: The error.
        cause: The cause for the record.

    Returns:
        The records; none if the launch asks for no record.

    Raises:
        MimBenchError: The run could not even be described.
    """
    return record_failure(TrainingError(text), cfg=_config_of_killed(launch, command), cause=cause)


def _config_of_killed(launch: Launch, command: str) -> Config:
    folder = Path(launch.work_dir or _default_work_dir(launch.config))
    dumped = folder / Path(launch.config).name
    try:
        cfg = Config.fromfile(str(dumped), import_custom_modules=False)
    except Exception as error:  # an incomplete Python file may raise anything
        print_log(f'{dumped}: not read ({error}); the config of the launch is recorded.')
        return resolve_run(launch, command)
    if not any(is_record_hook(hook) for hook in cfg.get('custom_hooks') or ()):
        return resolve_run(launch, command)
    content = {**cfg.to_dict(), 'work_dir': str(folder)}
    return Config(content, filename=str(shipped_config(launch.config)))


def resolve_run(launch: Launch, command: str) -> Config:
    """The config that a command runs, without the settings that it does not use.

    Args:
        launch: The launch.
        command: 'train' or 'test'.
    """
    if command == 'train':
        return _as_training(resolve_training(launch))
    return _as_test(resolve(launch))


def groups_of(launch: Launch) -> list[LayerGroup]:
    """Learning rate and weight decay of each layer in a training, which is not run.

    Raises:
        ConfigError: The config has no optimiser, or one that cannot be built.
    """
    cfg = resolve_training(launch)
    if cfg.get('optim_wrapper') is None:
        raise ConfigError(f'{cfg.filename}: has no optim_wrapper. Use the config of a training.')
    disable_amp(cfg)  # it needs a GPU, and groups do not depend on it
    with without_values():
        model = build_model(cfg)
    with library_scope(cfg), explained(cfg):
        return layer_groups(model, cfg.optim_wrapper)


def check_precision(cfg: Config, precision: str) -> None:
    """Refuse a training in mixed precision without a GPU.

    Raises:
        ConfigError: It names the options that make the training possible.
    """
    if is_cpu_run() and cfg.optim_wrapper.type == AMP_WRAPPER:
        asked = (
            f'{cfg.filename}: the recipe' if precision == 'recipe' else f'--precision {precision}'
        )
        raise ConfigError(
            f'{asked} computes in mixed precision, which needs a GPU. On a CPU pass '
            '--precision fp32 or --precision bf16.'
        )


def resolve(launch: Launch, *, is_test: bool = True) -> Config:
    """The config with all settings of the launch.

    Args:
        launch: The launch.
        is_test: Whether the run tests.
    """
    if launch.fit_backbone and not launch.checkpoint:
        raise ConfigError('--fit-backbone takes the backbone of --checkpoint. Give both.')
    fitted = launch.checkpoint if launch.fit_backbone else None
    cfg = load_config(launch.config, dict(launch.options), backbone_of=fitted)
    # The config may be one that an earlier, changed run dumped.
    cfg.is_changed = bool(cfg.get('is_changed')) or _is_changed(cfg, launch)
    _set_data(cfg, launch)
    cfg.work_dir = launch.work_dir or cfg.get('work_dir') or _default_work_dir(launch.config)
    cfg.launcher = launch.launcher
    cfg.env_cfg = _environment(cfg, launch)
    cfg.allow_partial = launch.allow_partial
    if launch.checkpoint:
        cfg.backbone_checkpoint = _file_of(launch.checkpoint)
    seed = launch.seed
    if launch.load_from:
        probes = _take_model(cfg, launch.load_from)
        if is_test:
            trained = probes.fit['randomness.seed'] if probes else _seed_in(cfg.load_from)
            seed = _seed_of_test(launch, trained)
    if seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
    _change_test_and_data(cfg, launch)
    cfg.protocol_start = protocol_start(cfg)
    _track(cfg, launch)
    if launch.results_dir:
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), record_hook(cfg, launch, is_test=is_test)]
    # torchrun passes the local rank by the environment; older tools by an argument.
    os.environ.setdefault('LOCAL_RANK', '0')
    return cfg


def _change_test_and_data(cfg: Config, launch: Launch) -> None:
    if launch.tta:
        use_test_time_augmentation(cfg)
    if launch.limit is not None:
        apply_limit(cfg, Limit.parse(launch.limit))


def _track(cfg: Config, launch: Launch) -> None:
    if launch.track:
        name = launch.run_id or Path(cfg.work_dir).name
        task = (cfg.get('protocol') or {}).get('task')
        cfg.track = tracking_settings(launch.track, name, task)


def _set_data(cfg: Config, launch: Launch) -> None:
    if launch.variant:
        use_variant(cfg, launch.variant, launch.data_root)
    elif launch.data_root:
        set_data_root(cfg, launch.data_root)
    if launch.own_data is not None:
        note = use_own_data(cfg, launch.own_data, skips_bad=launch.on_bad_image == 'skip')
        if note and is_first_process(launch.launcher):
            print_log(note)


def _take_model(cfg: Config, place: str) -> FittedProbes | None:
    """Take the model, or the fitted probes, of a file or a work directory; returns the probes."""
    if (cfg.get('test_cfg') or {}).get('type') != FITTED_LOOP:
        cfg.load_from = _file_of(place)
        return None
    probes = FittedProbes.read(Path(place))
    cfg.test_cfg.fitted, cfg.test_cfg.bank = place, probes.bank_digest
    cfg.test_dataloader.dataset.num_classes = probes.num_classes
    return probes


def _seed_in(path: str) -> int | None:
    """The seed of the training that wrote a checkpoint; None if the file does not say."""
    is_there = Path(path).is_file()  # else the load gate reports it
    return meta_of(read_checkpoint(path)).get('seed') if is_there else None


def _seed_of_test(launch: Launch, trained: int | None) -> int | None:
    """The seed that the record of a test states: that of the training, which drew.

    Raises:
        ConfigError: The launch asks for another.
    """
    if trained is None:
        return launch.seed
    if launch.seed not in (None, trained):
        raise ConfigError(
            f'--seed {launch.seed}: {launch.load_from} was made with the seed {trained}, and a '
            'test draws nothing. Leave --seed out.'
        )
    return trained


def _file_of(place: str) -> str:
    """The file of a checkpoint, or the newest one of a folder that a training wrote."""
    return str(weights_file(place)) if Path(place).is_dir() else place


def _environment(cfg: Config, launch: Launch) -> dict[str, Any]:
    """The config's ``env_cfg``, with the launch's time limit for waiting."""
    environment = cfg.get('env_cfg') or {}
    if launch.dist_timeout_s is None:
        return environment
    dist = {**environment.get('dist_cfg', {}), 'timeout': launch.dist_timeout_s}
    return {**environment, 'dist_cfg': dist}


def _is_changed(cfg: Config, launch: Launch) -> bool:
    """Whether options of the launch changed settings that the protocol hash covers."""
    # `protocol` describes the run and changes none of its settings.
    if all(key.startswith('protocol.') for key in launch.options):
        return False
    fitted = launch.checkpoint if launch.fit_backbone else None
    as_written = load_config(launch.config, backbone_of=fitted)
    return protocol_settings(cfg) != protocol_settings(as_written)


def resolve_training(launch: Launch) -> Config:
    """The config of a training, with the precision, batch and sharding of the launch.

    Raises:
        ConfigError: They contradict each other or the config.
    """
    cfg = resolve(launch, is_test=False)
    set_precision(cfg, launch.precision)
    plan = apply_plan(cfg, gpus=num_processes(launch.launcher), keep=launch.keep_batch)
    if plan is not None:
        cfg.batch_plan = plan.to_record()
    if launch.save_minutes is not None:
        set_save_minutes(cfg, launch.save_minutes)
    if launch.on_bad_image == 'skip' and cfg.get('train_dataloader'):
        cfg.train_dataloader.skip_list = str(Path(cfg.work_dir) / SKIP_LIST)
    if launch.fsdp:
        cfg[FSDP] = True
    if cfg.get(FSDP):
        check_sharding(cfg, launch.launcher)
    cfg.start_weights = start_weights(cfg)
    if launch.auto_resume and (latest := latest_checkpoint(cfg.work_dir)):
        # What the training started from is known by now, and is compared when it is resumed.
        cfg.resume, cfg.load_from = True, str(latest)
    return cfg


def set_save_minutes(cfg: Config, minutes: float) -> None:
    """Set the longest time between two checkpoints in a config, in place.

    Raises:
        ConfigError: The config has no checkpoint hook, or one of its own.
    """
    hooks = cfg.setdefault('default_hooks', {})
    checkpoint = hooks.get('checkpoint', {})
    if checkpoint is None or checkpoint.get('type', 'CheckpointHook') != 'CheckpointHook':
        raise ConfigError(
            f'{cfg.filename}: --save-minutes {minutes:g} needs default_hooks.checkpoint to be '
            f"mmengine's CheckpointHook, but it is {checkpoint}. Correct the config."
        )
    hooks['checkpoint'] = {**checkpoint, 'type': 'CheckpointHook', 'save_minutes': minutes}


def record_hook(cfg: Config, launch: Launch, *, is_test: bool) -> dict:
    """The config of the hook that writes the run's record."""
    protocol, tasks = split_protocol(cfg)
    if not cfg.get('protocol'):
        raise ConfigError(
            f'{launch.config}: has no `protocol`, so its numbers could not be compared. Add '
            "protocol=dict(task=..., name=..., version=..., tier='full')."
        )
    if launch.run_id:
        check_run_id(launch.run_id, '--run-id')
        for task in tasks:
            task['run_id'] = run_id_of(launch.run_id, task['task'], is_only=len(tasks) == 1)
    stated = dict(launch.record_checkpoint or {})
    start = start_facts(cfg, stated.pop('file', cfg.get('backbone_checkpoint')), is_test=is_test)
    return dict(
        type='mim_bench.RecordHook',
        results_dir=launch.results_dir,
        checkpoint=record_checkpoint(cfg, stated, start),
        protocol=protocol,
        tasks=tasks,
    )


def build_runner(cfg: Config) -> BenchRunner:
    """Build the runner; an unknown class or argument of one is one clear error."""
    import_layout()
    with explained(cfg):
        return RUNNERS.get('BenchRunner').from_cfg(cfg)


class _Run:
    runner: BenchRunner | None = None


@contextmanager
def _recorded(cfg: Config) -> Iterator[_Run]:
    """Context of a run; an error is explained, and recorded, unless it is an interruption."""
    run = _Run()
    try:
        yield run
    except Exception as error:
        if (interruption := interruption_behind(error)) is not None:
            if run.runner is not None:
                flush_ledger(run.runner)
            raise interruption from None
        with ignoring_dead_workers():
            failure = explained_failure(error, cfg, run.runner)
            record_failure(failure, cfg=cfg, runner=run.runner)
        if failure is error:
            raise
        raise failure from error
    finally:
        if run.runner is not None and (board := run.runner.visualizer.get_backend('tensorboard')):
            board.close()  # it writes the rest


def _check_parts(cfg: Config, parts: tuple[str, ...], command: str, other: str) -> None:
    if missing := [part for part in parts if cfg.get(part) is None]:
        raise ConfigError(
            f'{cfg.filename}: has no {", ".join(missing)}, so there is nothing to {command}. '
            f'Use `mim-bench {other}`, or another config.'
        )


def _as_training(cfg: Config) -> Config:
    """Remove the settings of tests from a config, in place."""
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    return cfg


def _as_test(cfg: Config) -> Config:
    """Remove the settings of trainings from a config, in place."""
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler', FSDP):
        cfg[key] = None
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    return cfg


def _default_work_dir(config: str) -> str:
    return str(Path('work_dirs') / Path(config).stem)
