"""Where the numbers come from, as rows of tables: protocols, runs and environments."""

from collections import Counter
from dataclasses import dataclass

from mim_bench.report import catalogue
from mim_bench.report.leaderboard import Leaderboard
from mim_bench.report.wording import plural
from mim_bench.results.record import Metric, Protocol, RunRecord

# Where a record was collected from: another one for each.
_NO_FACT_OF_A_MACHINE = ('work_dir',)
# How many runs a page lists; runs.csv has all of them.
MOST_RUNS = 1000
_KNOWN_KEYS = ('python', 'torch', 'mmengine', 'mmcv', 'library', 'git')


@dataclass(frozen=True)
class RunLine:
    """One run with its results as text."""

    record: RunRecord
    task: str
    results: str
    wall: str
    device: str
    loaded: str


@dataclass(frozen=True)
class EnvironmentLine:
    """One fact about the machines, with each of its values and how many runs had it."""

    key: str
    values: list[str]


@dataclass(frozen=True)
class ProtocolLine:
    """One protocol with the columns that were measured under it."""

    columns: str
    task: str
    protocol: Protocol


def protocol_lines(board: Leaderboard) -> list[ProtocolLine]:
    """The protocols of the columns in their order, then those of pre-training."""
    lines = [
        ProtocolLine(
            f'{group.title}: {", ".join(column.short_title for column in group.columns)}',
            group.task,
            group.protocol,
        )
        for group in board.groups
        if group.protocol is not None
    ]
    pretraining: dict[Protocol, RunRecord] = {}
    for record in board.pretraining:
        pretraining.setdefault(record.protocol, record)
    for protocol, record in pretraining.items():
        method = catalogue.method_title(record.checkpoint.method)
        lines.append(ProtocolLine(f'Pre-training by {method}', record.task, protocol))
    return lines


def ordered_runs(board: Leaderboard) -> list[RunRecord]:
    """All runs: pre-training first, then by task and checkpoint."""
    return sorted(board.records, key=_run_rank)


def run_lines(board: Leaderboard) -> list[RunLine]:
    """The first :data:`MOST_RUNS` of :func:`ordered_runs`."""
    return [_run_line(record) for record in ordered_runs(board)[:MOST_RUNS]]


def _run_rank(record: RunRecord) -> tuple:
    return (
        not record.is_pretraining,
        catalogue.task_rank(record.task),
        record.checkpoint.id,
        record.run_id,
    )


def _run_line(record: RunRecord) -> RunLine:
    cost = record.cost
    share = record.load.share if record.load is not None else None
    return RunLine(
        record=record,
        task=catalogue.task_title(record.task) if not record.is_pretraining else 'Pre-training',
        results=results_text(record),
        wall='' if cost.wall_s is None else format_duration(cost.wall_s),
        device=f'{cost.num_devices} x {cost.device}'
        if (cost.num_devices or 1) > 1
        else cost.device,
        # Cut off, not rounded: 99.96 % is not all of it.
        loaded='' if share is None else f'{int(share * 1000) / 10:g} %',
    )


def results_text(record: RunRecord) -> str:
    """Every metric of a run with its unit and split."""
    return ', '.join(_result(name, metric) for name, metric in record.metrics.items())


def _result(name: str, metric: Metric) -> str:
    unit = f' {metric.unit}' if metric.unit else ''
    return f'{name} {metric.value:.4g}{unit} ({metric.split})'


def format_duration(seconds: float) -> str:
    """A wall time in two units at most: ``48 s``, ``3 min 12 s``, ``5 h 02 min``."""
    whole = round(seconds)
    if whole < 60:
        return f'{seconds:.1f} s' if seconds < 10 else f'{whole} s'
    if whole < 3600:
        return f'{whole // 60} min {whole % 60:02d} s'
    return f'{whole // 3600:,} h {whole % 3600 // 60:02d} min'


def environment_lines(board: Leaderboard) -> list[EnvironmentLine]:
    """The versions and devices of all runs, the well-known ones first."""
    counts: dict[str, Counter[str]] = {}
    for record in board.records:
        for key, value in {**record.env, 'device': record.cost.device}.items():
            if key in _NO_FACT_OF_A_MACHINE:
                continue
            counts.setdefault(key, Counter())[value] += 1
    known = [key for key in ('device', *_KNOWN_KEYS) if key in counts]
    keys = known + sorted(set(counts) - set(known))
    return [EnvironmentLine(key, _values(counts[key], len(board.records))) for key in keys]


def _values(counts: Counter[str], num_runs: int) -> list[str]:
    if len(counts) == 1 and counts.total() == num_runs:
        return list(counts)
    return [f'{value} ({plural(count, "run")})' for value, count in sorted(counts.items())]
