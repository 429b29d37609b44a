"""How sure the numbers of a board are: spread over seeds, intervals, and ties with the best."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from mim_bench.errors import RecordError
from mim_bench.report.board import Column, ColumnGroup, Row
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


class SampleReader:
    """Reads the outcomes of runs; ``damaged`` are the files that could not be used, by path."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        # A run has several metrics, which are asked for one after another.
        self._read = lru_cache(maxsize=64)(read_samples)
        self.damaged: dict[str, DamagedFile] = {}

    def measured(self, runs: Sequence[RunRecord], metric: str) -> Measured:
        """What tests need of one metric of several seeds."""
        samples = tuple(self.read(run).get(metric) for run in runs)
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
    for group in groups:
        if group.protocol is not None:
            _spread_group(rows, group.columns, reader)
    return [reader.damaged[path] for path in sorted(reader.damaged)]


def _spread_group(rows: Sequence[Row], columns: Sequence[Column], reader: SampleReader) -> None:
    leaders = {c.key: row for c in columns for row in reversed(rows) if row.cell(c).is_best}
    best = {
        c.key: reader.measured(leaders[c.key].cell(c).runs, c.metric)
        for c in columns
        if c.key in leaders
    }
    for row in rows:
        for column in columns:
            cell, key = row.cell(column), column.key
            if cell.state != 'value':
                continue
            measured = reader.measured(cell.runs, column.metric)
            sd, interval = seed_spread(measured.values)
            sample = measured.samples[0] if sd is None else None
            if sample is not None:
                interval = image_interval(sample)
            is_tied = None
            if key in best and row is not leaders[key]:
                differs = compare(best[key], measured).is_distinguishable()
                is_tied = None if differs is None else not differs
            of = 'images' if sd is None else 'seeds'
            row.cells[key] = replace(
                cell, sd=sd, interval=interval, interval_of=interval and of, is_tied=is_tied
            )
    for key, leader in leaders.items():
        # The best is tied too if anything is tied with it.
        ties = {row.cells[key].is_tied for row in rows if key in row.cells} - {None}
        leader.cells[key] = replace(leader.cells[key], is_tied=any(ties) if ties else None)
