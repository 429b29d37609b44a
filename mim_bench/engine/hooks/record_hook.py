"""The hook that writes the record of a run, also when the run fails."""

import contextlib
import glob
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn

from mim_bench.conversion.key_table import BACKBONE
from mim_bench.conversion.provenance import count_parameters
from mim_bench.data.seeding import skipped_images
from mim_bench.engine.environment import describe_environment
from mim_bench.engine.hooks.cost_ledger_hook import cost_on_disk, find_ledger_hook, flush_ledger
from mim_bench.engine.run_record import (
    cause_of,
    config_file,
    content_of,
    error_text,
    is_record_hook,
    make_protocol,
    other_data,
    save_artifacts,
    training_facts,
    training_metrics,
)
from mim_bench.errors import ConfigError, RecordError, ResultError
from mim_bench.evaluation.metric_names import primary_metric, record_metrics
from mim_bench.evaluation.outcomes import outcomes_of_loop, save_outcomes
from mim_bench.files.atomic import stamp, write_atomically
from mim_bench.recipe.data_content import config_content, runner_content
from mim_bench.recipe.tta import unwrap
from mim_bench.registry import HOOKS
from mim_bench.results.outcomes import Outcomes
from mim_bench.results.protocol_file import write_protocol
from mim_bench.results.record import (
    Artifacts,
    Cause,
    Checkpoint,
    Cost,
    Metric,
    RunRecord,
    check_run_id,
    utc_now,
)
from mim_bench.results.store import RECORD_FILE, read_record, write_record

# About the size of a record with its outcomes on ImageNet's validation images.
_RECORD_BYTES = 2**18


@dataclass(frozen=True)
class RecordTask:
    """One record of a run; a run that measures several things gives several.

    Attributes:
        task: Name of the task.
        metrics: Names of the record's metrics; all that are known if None. Each must have
            been measured.
        protocol: Keys that replace those of the hook's ``protocol``.
        run_id: ``<task>-<checkpoint id>-s<seed>`` if None.
    """

    task: str
    metrics: Sequence[str] | None = None
    protocol: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None


@HOOKS.register_module()
class RecordHook(Hook):
    """Write the record of a run to ``<results_dir>/<run_id>/record.json`` at its end.

    Beside it lie ``curves.json``, the run's pictures, ``protocol.json`` with the settings that
    the protocol's hash covers, and ``outcomes.npz`` with what the model did on each image, where
    the metrics of the last evaluation keep that. The metrics are those of the last
    validation or test and, after a training, the loss and k-NN accuracy. A run that was
    killed in its last validation and resumes after its last iteration validates again.

    A task without a valid result (see :func:`mim_bench.evaluation.metric_names.primary_metric`) is
    recorded as failed, and the run ends with that error; its other tasks are recorded as done.

    Note:
        - The run needs a ``CostLedgerHook``.
        - What a load gate found is taken from ``runner.load_report``, a
          :class:`mim_bench.results.record.LoadReport`.
        - mmengine calls no hook when a run fails: whoever runs the runner calls
          :func:`record_failure`.
        - A failure never replaces the record of a run that was done.

    Args:
        results_dir: Folder of records.
        checkpoint: Fields of :class:`mim_bench.results.record.Checkpoint`.
        protocol: See :func:`mim_bench.engine.run_record.make_protocol`.
        tasks: Fields of :class:`RecordTask`, one a record.

    Raises:
        ConfigError: A field is missing or unknown.
    """

    priority = 'LOWEST'

    def __init__(
        self,
        results_dir: str,
        *,
        checkpoint: Mapping[str, Any],
        protocol: Mapping[str, Any],
        tasks: Sequence[Mapping[str, Any]],
    ) -> None:
        self.results_dir = Path(results_dir)
        self.protocol = dict(protocol)
        known_from = dict(checkpoint.get('known_from', {}))
        self.checkpoint = _build(Checkpoint, {**checkpoint, 'known_from': known_from}, 'checkpoint')
        self.tasks = [_build(RecordTask, task, 'tasks') for task in tasks]
        self._measured: dict[str, Any] = {}
        self._outcomes: list[Outcomes] = []
        self._has_validated = False
        # Records of earlier launches, by which those of this one are told apart.
        self._earlier = {path: stamp(path) for task in self.tasks for path in self._records(task)}
        self._started_at = utc_now()

    def before_run(self, runner: Runner) -> None:
        """Find out now, not after days, that the record could not be written; count parameters.

        Raises:
            ConfigError: There is no ledger, or a protocol is incomplete.
            MimBenchError: The folder of the results cannot be written.
        """
        if find_ledger_hook(runner) is None:
            raise ConfigError(
                "RecordHook needs the run's cost. Add dict(type='mim_bench.CostLedgerHook') to "
                'custom_hooks.'
            )
        if is_main_process():
            for task in self.tasks:
                check_run_id(
                    self._run_id(task, runner.seed), 'Record (--record-checkpoint id=, --run-id)'
                )
                _check_writable(self._folder(task, runner.seed))
            runner.cfg.protocol_data = runner_content(runner)
        for task in self.tasks:
            settings = {**self.protocol, **task.protocol}
            if make_protocol(settings, task.task, runner.cfg).tier != settings['tier']:
                told = other_data(task.task, runner.cfg)
                runner.logger.warning(
                    f'The data are not those of {task.task}: {told}. Its record has the tier '
                    'smoke, which is not ranked beside whole runs. `mim-bench data check` looks '
                    'for what is missing; data of your own are named by --own-data.'
                )
        if self.checkpoint.params is None:
            self.checkpoint = _with_params(self.checkpoint, unwrap(runner.model))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Keep the metrics and outcomes of the last validation."""
        self._has_validated = True
        self._measured.update(metrics or {})
        self._outcomes = outcomes_of_loop(runner.val_loop)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Keep the metrics and outcomes of the test."""
        self._measured.update(metrics or {})
        self._outcomes = outcomes_of_loop(runner.test_loop)

    def after_train(self, runner: Runner) -> None:
        """Keep what the training measured; validate if the last validation got lost."""
        self._measured.update(training_metrics(runner))
        loop = runner.train_loop
        is_by_iter = isinstance(loop, IterBasedTrainLoop)
        is_due = runner.val_loop is not None and (
            (loop.iter if is_by_iter else loop.epoch) >= loop.val_begin
        )
        if is_due and not self._has_validated:
            runner.val_loop.run()

    def after_run(self, runner: Runner) -> None:
        """Write the records, on the main process.

        Raises:
            ResultError: A task has no valid result.
            MimBenchError: The disk refuses.
        """
        if not is_main_process():
            return
        known = record_metrics(self._measured)
        problems = []
        for task in self.tasks:
            try:
                metrics, primary = self._result(task, known)
            except ResultError as error:
                problems.append(error)
                path = self._write(task, runner.cfg, runner, error=error_text(error), cause='error')
            else:
                artifacts = self._save_artifacts(task, runner, metrics)
                path = self._write(
                    task, runner.cfg, runner, metrics=metrics, primary=primary, artifacts=artifacts
                )
            runner.logger.info(f'Record of {task.task}: {path}')
        if problems:
            raise problems[0]

    def _result(
        self, task: RecordTask, known: Mapping[str, Metric]
    ) -> tuple[dict[str, Metric], str | None]:
        """The metrics of a task's record, and the primary one."""
        names = list(known) if task.metrics is None else list(task.metrics)
        metrics = {name: known[name] for name in names if name in known}
        primary = primary_metric(task.task, metrics, self._measured)
        if missing := [name for name in names if name not in known]:
            raise ResultError(
                f'RecordHook: the task {task.task!r} asks for {", ".join(missing)}; the run '
                f'measured {", ".join(self._measured) or "nothing"}. Correct metrics in tasks, or '
                'the evaluator.'
            )
        return metrics, primary

    def _save_artifacts(
        self, task: RecordTask, runner: Runner, metrics: Mapping[str, Metric]
    ) -> Artifacts:
        folder = self._folder(task, runner.seed)
        artifacts = save_artifacts(Path(runner.work_dir), folder)
        settings = {**self.protocol, **task.protocol}
        content = content_of(settings, task.task, runner.cfg)
        return replace(
            artifacts,
            outcomes=save_outcomes(self._outcomes, metrics, folder),
            protocol=write_protocol(content, folder),
        )

    def write_failure(
        self,
        error: BaseException,
        cfg: Config,
        runner: Runner | None,
        cause: Cause | None = None,
    ) -> list[Path]:
        """Write a record with the error for every task, where none of this run stands yet.

        Any process may call it: the first that failed names the cause, the others fail for
        want of it.

        Args:
            error: Why the run failed.
            cfg: The config of the run.
            runner: None if it could not be built.
            cause: That of the error if None.

        Returns:
            The records written.
        """
        seed = _seed(cfg, runner)
        cfg = cfg if runner is None else runner.cfg
        if cfg.get('protocol_data') is None:  # it failed before the runner had read its data
            with contextlib.suppress(Exception):  # unreadable data may be why
                cfg.protocol_data, _ = config_content(cfg)
        return [
            self._write(task, cfg, runner, error=error_text(error), cause=cause or cause_of(error))
            for task in self.tasks
            if not self._is_settled(self._folder(task, seed) / RECORD_FILE)
        ]

    def _is_settled(self, path: Path) -> bool:
        """Whether a record is done, or was written since this hook was made."""
        try:
            return read_record(path).status == 'done' or stamp(path) != self._earlier.get(path)
        except (RecordError, OSError):
            return False

    def _records(self, task: RecordTask) -> Iterable[Path]:
        """The records of a task, of any seed, that are there."""
        if task.run_id is not None:
            return [self.results_dir / task.run_id / RECORD_FILE]
        name = glob.escape(f'{task.task}-{self.checkpoint.id}-s')
        return self.results_dir.glob(f'{name}*/{RECORD_FILE}')

    def _run_id(self, task: RecordTask, seed: int) -> str:
        return task.run_id or f'{task.task}-{self.checkpoint.id}-s{seed}'

    def _folder(self, task: RecordTask, seed: int) -> Path:
        return self.results_dir / self._run_id(task, seed)

    def _write(
        self,
        task: RecordTask,
        cfg: Config,
        runner: Runner | None,
        *,
        metrics: Mapping[str, Metric] | None = None,
        primary: str | None = None,
        artifacts: Artifacts | None = None,
        error: str | None = None,
        cause: Cause | None = None,
    ) -> Path:
        ledger_hook = find_ledger_hook(runner) if runner is not None else None
        seed = _seed(cfg, runner)
        record = RunRecord(
            run_id=self._run_id(task, seed),
            status='done' if error is None else 'failed',
            task=task.task,
            protocol=make_protocol({**self.protocol, **task.protocol}, task.task, cfg),
            checkpoint=self.checkpoint,
            config=config_file(cfg),
            seed=seed,
            metrics=dict(metrics or {}),
            primary_metric=primary,
            cost=self._cost(cfg, runner),
            env=describe_environment(cfg.get('default_scope')),
            started_at=ledger_hook.started_at if ledger_hook else self._started_at,
            load=getattr(runner, 'load_report', None),
            error=error,
            cause=cause,
            artifacts=artifacts or Artifacts(),
            skipped_images=_num_skipped(cfg),
            limit=cfg.get('limit'),
            **training_facts(cfg),
        )
        return write_record(record, self.results_dir)

    def _cost(self, cfg: Config, runner: Runner | None) -> Cost:
        """The cost from the run's ledger, else from the file of an earlier process."""
        hook = find_ledger_hook(runner) if runner is not None else None
        if hook is not None and hook.ledger is not None:
            return Cost(**hook.ledger.summary())
        return cost_on_disk(Path(cfg.get('work_dir') or '')) or Cost(
            None, None, None, 'unknown', None
        )


def record_failure(
    error: BaseException, *, cfg: Config, runner: Runner | None = None, cause: Cause | None = None
) -> list[Path]:
    """Write the record of a run that failed; for the ``except`` path of a launcher.

    It never raises, so that the error itself is what the user sees; what went wrong with
    the record is logged.

    Args:
        error: Why the run failed.
        cfg: The config of the run.
        runner: None if it could not be built; the hook is then made from the config.
        cause: That of the error if None.

    Returns:
        The records written; none if the run has no ``RecordHook``.
    """
    try:
        hooks = [h for h in (runner.hooks if runner else ()) if isinstance(h, RecordHook)]
        if runner is None:
            hooks = [HOOKS.build(dict(h)) for h in cfg.get('custom_hooks', []) if is_record_hook(h)]
        if runner is not None:
            flush_ledger(runner)
        return [path for hook in hooks for path in hook.write_failure(error, cfg, runner, cause)]
    except Exception as problem:  # the run's own error must come through
        if _disk_error(problem) is None or _disk_error(problem) != _disk_error(error):
            print_log(
                f'The failure could not be recorded: {problem}',
                logger='current',
                level=logging.ERROR,
            )
        return []


def _disk_error(error: BaseException) -> int | None:
    """The number of the error of a file system that is behind an error; None if there is none."""
    return getattr(error.__cause__, 'errno', None)


def _seed(cfg: Config, runner: Runner | None) -> int:
    seed = runner.seed if runner is not None else (cfg.get('randomness') or {}).get('seed')
    return int(seed or 0)


def _num_skipped(cfg: Config) -> int | None:
    """Training images that ``--on-bad-image skip`` left out; None where an image stops the run."""
    skip_list = (cfg.get('train_dataloader') or {}).get('skip_list')
    return None if skip_list is None else len(skipped_images(skip_list))


def _check_writable(folder: Path) -> None:
    """Write a file of the size of a record, and remove it again."""
    path = folder / '.writable'
    write_atomically({path: bytes(_RECORD_BYTES)})
    path.unlink(missing_ok=True)


def _with_params(checkpoint: Checkpoint, model: nn.Module) -> Checkpoint:
    """Add the number of parameters of the model's backbone, if it has one."""
    weights = {
        name: parameter.data
        for name, parameter in model.named_parameters()
        if name.startswith(BACKBONE)
    }
    known_from = {**checkpoint.known_from, 'params': 'weights'}
    count = count_parameters(weights)
    return replace(checkpoint, params=count, known_from=known_from) if count else checkpoint


def _build(kind: type, fields: Mapping[str, Any], where: str) -> Any:
    try:
        return kind(**fields)
    except TypeError as error:
        raise ConfigError(f'RecordHook: {where}: {error}. Correct the config.') from None
