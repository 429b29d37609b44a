"""How sure the numbers of a board are: spread over seeds, intervals, and ties with the best."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from mim_bench.errors import RecordError
from mim_bench.report.board import Cell, Column, ColumnGroup, Row
from mim_bench.results.outcomes_file import read_samples
from mim_bench.results.record import RunRecord
from mim_bench.results.statistics import (
    LARGEST_DIFFERENCE,
    Measured,
    Sample,
    compare,
    image_interval,
    seed_spread,
)
from mim_bench.results.store import Collection, DamagedFile

# Rows of a column that are tested against the best, from the best on: the time stays bounded.
MOST_TESTED = 500
# With more runs that kept outcomes, only the rows that are tested have intervals over images.
MOST_READ = 5000


class SampleReader:
    """Reads the outcomes of runs; ``damaged`` are the files that could not be used, by path."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        # A run has several metrics, which are asked for one after another.
        self._read = lru_cache(maxsize=64)(read_samples)
        self.damaged: dict[str, DamagedFile] = {}

    def measured(self, runs: Sequence[RunRecord], metric: str, *, reads: bool = True) -> Measured:
        """What tests need of one metric of several seeds; without samples unless it ``reads``."""
        samples = tuple(self.read(run).get(metric) if reads else None for run in runs)
        return Measured(tuple(run.metrics[metric].value for run in runs), samples)

    def read(self, run: RunRecord) -> dict[str, Sample]:
        """The samples of a run by metric; none if it kept no outcomes, or none of use."""
        relative = run.artifacts.outcomes
        if relative is None:
            return {}
        path = None
        try:
            path = self._collection.artifact_path(run, relative)
            samples = self._read(path)
            for name in filter(samples.__contains__, run.metrics):
                found, stated = samples[name].value, run.metrics[name].value
                if abs(found - stated) > LARGEST_DIFFERENCE:
                    raise RecordError(
                        f'the outcomes give {name} = {found:.3f}, the record {stated:.3f}: they '
                        'are of another run. Run again.'
                    )
        except RecordError as error:
            where = f'{run.run_id}/{relative}'
            self.damaged[where] = DamagedFile(where, str(error).removeprefix(f'{path}: '))
            return {}
        return samples


def add_spread(
    rows: Sequence[Row], groups: Iterable[ColumnGroup], collection: Collection
) -> list[DamagedFile]:
    """Give cells their spread, their interval, and the mark of a tie with the best.

    Args:
        rows: Of the board, with the best of each column marked; their cells are replaced.
        groups: Column groups; those of pre-training have no protocol, and no spread.
        collection: Says where outcomes lie.

    Returns:
        Outcomes that could not be used, in the order of their paths.
    """
    reader = SampleReader(collection)
    kept = sum(run.artifacts.outcomes is not None for run in collection.records)
    for group in groups:
        if group.protocol is not None:
            _spread_group(rows, group.columns, reader, reads_all=kept <= MOST_READ)
    return [reader.damaged[path] for path in sorted(reader.damaged)]


def _spread_group(
    rows: Sequence[Row], columns: Sequence[Column], reader: SampleReader, *, reads_all: bool
) -> None:
    leaders = {c.key: next((r for r in rows if r.cell(c).is_best), None) for c in columns}
    best = {
        c.key: reader.measured(leader.cell(c).runs, c.metric)
        for c in columns
        if (leader := leaders[c.key]) is not None
    }
    tested = {column.key: _nearest(rows, column) for column in columns}
    candidates = set().union(*tested.values())
    for row in rows:
        reads = reads_all or row.label in candidates
        for column in columns:
            cell = row.cell(column)
            if cell.state != 'value':
                continue
            measured = reader.measured(cell.runs, column.metric, reads=reads)
            cell = _with_interval(cell, measured)
            if (
                column.key in best
                and row is not leaders[column.key]
                and row.label in tested[column.key]
            ):
                differs = compare(best[column.key], measured).is_distinguishable()
                cell = replace(cell, is_tied=None if differs is None else not differs)
            row.cells[column.key] = cell
    for column in columns:
        # The best is tied too if anything is tied with it.
        ties = [row.cell(column).is_tied for row in rows]
        if known := [tie for tie in ties if tie is not None]:
            cells = leaders[column.key].cells
            cells[column.key] = replace(cells[column.key], is_tied=any(known))


def _nearest(rows: Sequence[Row], column: Column) -> set[str]:
    """The rows with the best values, as many as are tested."""
    holders = [row for row in rows if row.cell(column).state == 'value']
    holders.sort(key=lambda row: (-column.sign * row.cell(column).value, row.label))
    return {row.label for row in holders[:MOST_TESTED]}


def _with_interval(cell: Cell, measured: Measured) -> Cell:
    """Over seeds where there are several, else over images."""
    sd, interval = seed_spread(measured.values)
    if sd is not None:
        return replace(cell, sd=sd, interval=interval, interval_of='seeds')
    sample = measured.samples[0]
    interval = image_interval(sample) if sample is not None else None
    return replace(cell, interval=interval, interval_of='images' if interval else None)
