"""IoU and average precision class by class: a table a protocol, a column a checkpoint."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from mim_bench.errors import RecordError
from mim_bench.report.leaderboard import DASH, Column, ColumnGroup, Leaderboard, Row
from mim_bench.results.outcomes import Hits
from mim_bench.results.outcomes_file import read_outcomes
from mim_bench.results.record import Protocol, RunRecord
from mim_bench.results.statistics.scores import class_scores
from mim_bench.results.store import Collection

# The best rows of a protocol; more columns than this are no table that anyone reads.
MOST_CHECKPOINTS = 24
_TITLES = {'mIoU': 'IoU', 'bbox_mAP': 'box AP', 'segm_mAP': 'mask AP'}


@dataclass(frozen=True)
class ClassColumn:
    """The values of one row of the board, (C,) in percent; NaN where a class does not occur."""

    label: str
    values: np.ndarray


@dataclass(frozen=True)
class ClassTable:
    """One metric of one protocol by class; ``num_more`` rows of the board are left out."""

    title: str
    protocol: Protocol
    names: tuple[str, ...]
    columns: list[ClassColumn] = field(default_factory=list)
    num_more: int = 0

    def cell(self, place: int, column: ClassColumn) -> str:
        """A value as text, or a dash."""
        value = column.values[place]
        return DASH if np.isnan(value) else f'{value:.1f}'

    def is_best(self, place: int, column: ClassColumn) -> bool:
        """Whether no other checkpoint is better at a class; one alone is no ranking."""
        values = [other.values[place] for other in self.columns]
        known = [value for value in values if not np.isnan(value)]
        return len(known) > 1 and bool(column.values[place] == max(known))


def class_tables(board: Leaderboard, collection: Collection) -> list[ClassTable]:
    """The tables of all protocols of which a run kept its outcomes.

    Outcomes that cannot be read are left out here; the board lists them as damaged.
    """
    tables = []
    for group in board.groups:
        for column in group.columns:
            if column.metric in _TITLES and group.protocol is not None:
                tables += _tables_of(board, collection, group, column)
    return tables


def _tables_of(
    board: Leaderboard, collection: Collection, group: ColumnGroup, column: Column
) -> list[ClassTable]:
    """One table; several where runs name different classes."""
    holders = [row for row in board.rows if _runs_with_outcomes(row, column)]
    tables: dict[tuple[str, ...], ClassTable] = {}
    for row in holders[:MOST_CHECKPOINTS]:
        found = _mean_over_runs(row, column, collection)
        if found is not None:
            names, values = found
            empty = ClassTable(
                title=f'{group.title} {_TITLES[column.metric]}',
                protocol=group.protocol,
                names=names,
                num_more=max(0, len(holders) - MOST_CHECKPOINTS),
            )
            tables.setdefault(names, empty).columns.append(ClassColumn(row.label, values))
    return list(tables.values())


def _runs_with_outcomes(row: Row, column: Column) -> list[RunRecord]:
    cell = row.cell(column)
    return [run for run in cell.runs if cell.state == 'value' and run.artifacts.outcomes]


def _mean_over_runs(
    row: Row, column: Column, collection: Collection
) -> tuple[tuple[str, ...], np.ndarray] | None:
    """Names of the classes and the mean over the seeds of a row; None without outcomes."""
    found: dict[tuple[str, ...], list[np.ndarray]] = {}
    for run in _runs_with_outcomes(row, column):
        try:
            path = collection.artifact_path(run, run.artifacts.outcomes)
            status = path.stat()
            names, scores = _scores_of(path, status.st_mtime_ns, status.st_size)
        except (RecordError, OSError):
            # Listed as damaged where the board reads the same file for its intervals.
            continue
        if column.metric in scores:
            found.setdefault(names, []).append(scores[column.metric])
    if not found:
        return None
    names, values = next(iter(found.items()))
    stacked = np.stack(values)
    known = ~np.isnan(stacked)
    # A class that no image is labelled with has an IoU only in the runs that predict it.
    with np.errstate(invalid='ignore'):
        return names, np.where(known, stacked, 0).sum(axis=0) / known.sum(axis=0)


@lru_cache(maxsize=512)
def _scores_of(
    path: Path, _modified: int, _size: int
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Names and scores; kept, since a watched report reads the same files again and again."""
    outcomes = read_outcomes(path)
    if isinstance(outcomes, Hits):
        return (), {}
    scores = class_scores(outcomes)
    num = len(next(iter(scores.values()), ()))
    return outcomes.class_names or tuple(f'class {index}' for index in range(num)), scores
