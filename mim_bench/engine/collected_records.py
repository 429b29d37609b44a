"""Makes records of work directories whose runs wrote none."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import mim_bench
from mim_bench.engine.checkpoint_identity import UNKNOWN_START, record_checkpoint, start_facts
from mim_bench.engine.environment import UNKNOWN
from mim_bench.engine.hooks.cost_ledger_hook import cost_on_disk
from mim_bench.engine.run_record import (
    config_file,
    content_of,
    error_text,
    make_protocol,
    split_protocol,
)
from mim_bench.engine.scalars import collect_curves
from mim_bench.engine.work_dir import WorkDir, check_finished, read_work_dir
from mim_bench.errors import RecordError, ResultError
from mim_bench.evaluation.metric_names import (
    METRICS,
    PRETRAINING,
    primary_metric,
    ranking_metrics,
    record_metrics,
)
from mim_bench.recipe.data_content import config_content
from mim_bench.recipe.precision import precision_of
from mim_bench.recipe.tta import network_settings
from mim_bench.results.protocol_file import write_protocol
from mim_bench.results.record import Artifacts, Checkpoint, Cost, Metric, RunRecord, Tier, run_id_of
from mim_bench.results.store import (
    CURVES_FILE,
    RECORD_FILE,
    read_record,
    record_to_json,
    write_curves,
    write_record,
)

_ENV = ('git', 'torch', 'torchvision', 'mmengine', 'mmcv', 'python')


@dataclass(frozen=True)
class Wanted:
    """What the user says about the runs, where their folders say nothing or something else.

    Attributes:
        task: Task of the record; by default that of the config's protocol.
        checkpoint: Fields of :class:`mim_bench.results.record.Checkpoint`.
        seed: Seed of the run; by default that of its log or config.
        tier: Tier of a run whose config names none.
        run_id: By default ``<task>-<checkpoint id>-s<seed>``.
        best: Take the best evaluation, by the first metric, and not the last.
    """

    task: str | None = None
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    tier: Tier = 'full'
    run_id: str | None = None
    best: bool = False


def collect_work_dir(path: Path, results_dir: Path, wanted: Wanted) -> list[Path]:
    """Write the records of one work directory.

    Args:
        path: A folder that :func:`mim_bench.engine.work_dir.find_work_dirs` gives.
        results_dir: Folder of records.
        wanted: What the user says.

    Returns:
        The records, one a task.

    Raises:
        RecordError: The run is unfinished or measured nothing, the folder does not say enough
            for a record, or another run has a record of that name.
        MimBenchError: The disk refuses.
    """
    run = read_work_dir(path)
    tasks = _tasks(run, wanted)
    check_finished(run, is_pretraining=any(task.is_pretraining for task in tasks))
    if run.cfg.get('protocol'):
        # The runner dumped its config before it had read its data sets.
        run.cfg.protocol_data, _ = config_content(run.cfg)
    records = [_record(run, task, wanted, is_only=len(tasks) == 1) for task in tasks]
    for record in records:
        record_to_json(record)  # nothing is written for what would be refused
        _check_free(record, Path(results_dir) / record.run_id / RECORD_FILE)
    return [
        _write(run, record, task, results_dir) for record, task in zip(records, tasks, strict=True)
    ]


@dataclass(frozen=True)
class _Task:
    name: str
    protocol: dict[str, Any]
    metrics: Sequence[str] | None = None

    @property
    def is_pretraining(self) -> bool:
        return self.name.startswith(PRETRAINING)


def _tasks(run: WorkDir, wanted: Wanted) -> list[_Task]:
    """The tasks of the config's protocol, or the one that the user names."""
    protocol, tasks = split_protocol(run.cfg)
    protocol = {'tier': wanted.tier, 'version': '1', **protocol}
    tasks = [
        _Task(task['task'], {**protocol, **(task.get('protocol') or {})}, task.get('metrics'))
        for task in tasks
        if task['task'] is not None
    ]
    if wanted.task is not None:
        named = [task for task in tasks if task.name == wanted.task]
        tasks = named or [_Task(wanted.task, protocol)]
    if not tasks:
        raise RecordError('its config has no protocol with a task. State the task by --task.')
    # Such a config has no name for what it measures but its own.
    stem = Path(run.cfg.filename or run.path).stem
    stem = run.path.name if stem == 'config' else stem
    for task in tasks:
        task.protocol.setdefault('name', stem)
    return tasks


def _record(run: WorkDir, task: _Task, wanted: Wanted, *, is_only: bool) -> RunRecord:
    metrics, primary, error = _result(run, task, wanted)
    checkpoint = _checkpoint(run, wanted)
    seed = _seed(run, wanted)
    named = wanted.run_id and run_id_of(wanted.run_id, task.name, is_only=is_only)
    return RunRecord(
        run_id=named or f'{task.name}-{checkpoint.id}-s{seed}',
        status='done' if error is None else 'failed',
        task=task.name,
        protocol=make_protocol(task.protocol, task.name, run.cfg),
        checkpoint=checkpoint,
        config=config_file(run.cfg),
        seed=seed,
        metrics=metrics,
        primary_metric=primary,
        cost=_cost(run),
        env=_environment(run),
        started_at=run.started_at,
        error=error,
        precision=precision_of(run.cfg) if run.cfg.get('optim_wrapper') else None,
        origin='collected',
    )


_Result = tuple[dict[str, Metric], str | None, str | None]


def _result(run: WorkDir, task: _Task, wanted: Wanted) -> _Result:
    """Metrics and primary metric of the last evaluation or the best, or why there is no result.

    A pre-training may have no metric.
    """
    keys = {key for key, spec in METRICS.items() if spec.name in ranking_metrics(task.name)}
    # A k-NN accuracy that was logged during a fine-tuning is no evaluation of it.
    evaluations = [e.metrics for e in run.evaluations if task.is_pretraining or keys & {*e.metrics}]
    evaluations = evaluations or [e.metrics for e in run.evaluations]
    if not evaluations and task.is_pretraining:
        return {}, None, None
    if not evaluations:
        raise RecordError(
            f'no evaluation logged a metric of {task.name}. Test its checkpoint, then collect it.'
        )
    found = [_measured(values, task) for values in evaluations]
    valid = [one for one in found if one[2] is None]
    if not wanted.best or not valid:
        return found[-1]
    name = valid[-1][1]
    sign = 1 if valid[-1][0][name].higher_is_better else -1
    return max((one for one in valid if name in one[0]), key=lambda one: sign * one[0][name].value)


def _measured(values: Mapping[str, float], task: _Task) -> _Result:
    """The result of one evaluation."""
    metrics = record_metrics(values)
    if task.metrics is not None:
        metrics = {name: metrics[name] for name in task.metrics if name in metrics}
    try:
        return metrics, primary_metric(task.name, metrics, values), None
    except ResultError as error:
        return {}, None, error_text(error)


def _checkpoint(run: WorkDir, wanted: Wanted) -> Checkpoint:
    """What the user states and the config says; the file may not be there any more."""
    model = network_settings(run.cfg) if run.cfg.get('model') else {}
    kind = (model.get('backbone') or {}).get('type', UNKNOWN)
    # A class stands for itself where a config was written in Python.
    kind = kind if isinstance(kind, str) else kind.__name__
    file = run.cfg.get('backbone_checkpoint')
    fields = {
        'id': Path(file).stem if file else run.path.name,
        'backbone': kind.rpartition('.')[2],
        **wanted.checkpoint,
    }
    file = fields.pop('file', file)
    start = start_facts(run.cfg, file) if file else UNKNOWN_START
    try:
        return Checkpoint(**record_checkpoint(run.cfg, fields, start))
    except TypeError as error:
        raise RecordError(f'--record-checkpoint: {error}. Correct it.') from None


def _seed(run: WorkDir, wanted: Wanted) -> int:
    stated = run.facts.get('seed') or (run.cfg.get('randomness') or {}).get('seed')
    if wanted.seed is None and stated is None:
        raise RecordError('neither its log nor its config says the seed. Give --seed.')
    return int(stated if wanted.seed is None else wanted.seed)


def _environment(run: WorkDir) -> dict[str, str]:
    """What the log says of the machine, and who made the record of what."""
    known = {name: run.facts.get(name, UNKNOWN) for name in _ENV}
    return known | {
        'library': run.cfg.get('default_scope') or UNKNOWN,
        'work_dir': str(run.path),
        'collected_by': f'mim_bench {mim_bench.__version__}',
    }


def _cost(run: WorkDir) -> Cost:
    """The cost of a run, that of its ledger if it left one.

    Otherwise the wall time is the sum over iterations of the ``time`` that was logged for them,
    which leaves out validation and the building of the model, and counts iterations that a restart
    repeated once. A log line stands for the iterations since the one before. Devices are those that
    the log names at its start. Memory is not taken from the log, where it includes the weights, and
    energy is nowhere.
    """
    if cost := cost_on_disk(run.path):
        return cost
    device, is_gpu, num_devices = _devices(run)
    batch = (run.cfg.get('train_dataloader') or {}).get('batch_size')
    wall_s = _wall_s(run)
    hours = wall_s * num_devices / 3600 if wall_s is not None and num_devices else None
    return Cost(
        gpu_hours=None if hours is None or is_gpu is None else hours * is_gpu,
        device_hours=hours,
        wall_s=wall_s,
        device=device,
        num_devices=num_devices,
        img_per_s=_rate(run, batch * num_devices) if batch and num_devices else None,
        data_wait_share=_wait_share(run),
    )


def _devices(run: WorkDir) -> tuple[str, bool | None, int | None]:
    facts = run.facts
    num_devices = int(facts['num_devices']) if int(facts.get('num_devices', 0)) else None
    has_gpu = {'True': True, 'False': False}.get(facts.get('has_gpu', ''))
    name = facts.get('gpu', UNKNOWN) if has_gpu else 'cpu' if has_gpu is False else UNKNOWN
    return name, has_gpu, num_devices


def _times(run: WorkDir, key: str = 'time') -> dict[float, float]:
    """A logged time by step, in seconds an iteration."""
    entries = run.iterations.items()
    return {step: e[key] for step, e in entries if isinstance(e.get(key), int | float)}


def _wall_s(run: WorkDir) -> float | None:
    times = _times(run)
    if not times:
        return None
    steps = pairwise([0, *times])
    return sum((b - a) * time for (a, b), time in zip(steps, times.values(), strict=True))


def _rate(run: WorkDir, samples: int) -> float | None:
    times = [time for time in _times(run).values() if time > 0]
    return samples / statistics.median(times) if times else None


def _wait_share(run: WorkDir) -> float | None:
    times, waits = _times(run), _times(run, 'data_time')
    total = sum(times[step] for step in waits if step in times)
    share = sum(waits[step] for step in waits if step in times) / total if total > 0 else None
    return None if share is None else min(max(share, 0.0), 1.0)


def _check_free(record: RunRecord, path: Path) -> None:
    """A run that wrote its own record knows better, and two work directories are two runs."""
    if not path.exists():
        return
    there = read_record(path)
    if there.origin != 'collected':
        raise RecordError(f'{path} exists, written by its run. Give --run-id for another one.')
    if there.env.get('work_dir') != record.env['work_dir']:
        raise RecordError(
            f'{path} exists, collected from {there.env.get("work_dir")}. Give --run-id, --seed or '
            '--record-checkpoint id=... to tell them apart.'
        )


def _write(run: WorkDir, record: RunRecord, task: _Task, results_dir: Path) -> Path:
    folder = Path(results_dir) / record.run_id
    curves = collect_curves(run.path)
    if curves:
        write_curves(curves, folder)
    content = content_of(task.protocol, task.name, run.cfg)
    artifacts = Artifacts(
        curves=CURVES_FILE if curves else None,
        protocol=write_protocol(content, folder),
    )
    return write_record(replace(record, artifacts=artifacts), results_dir)
