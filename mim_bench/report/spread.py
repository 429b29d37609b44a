"""How sure the numbers of the board are: what tests need of runs, intervals, ties with the best."""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

from mim_bench.errors import RecordError
from mim_bench.report.board import Cell, Column
from mim_bench.results.outcomes_file import read_samples
from mim_bench.results.record import RunRecord
from mim_bench.results.statistics import (
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
        samples = tuple(self._samples(run).get(metric) for run in runs)
        return Measured(tuple(run.metrics[metric].value for run in runs), samples)

    def _samples(self, run: RunRecord) -> dict[str, Sample]:
        """The samples of a run by metric; none if it kept no outcomes, or none that can be read."""
        relative = run.artifacts.outcomes
        if relative is None:
            return {}
        path = None
        try:
            path = self._collection.artifact_path(run, relative)
            return self._read(path)
        except RecordError as error:
            where = f'{run.run_id}/{relative}'
            self.damaged[where] = DamagedFile(where, str(error).removeprefix(f'{path}: '))
            return {}


def add_spread(cells: Sequence[Cell], columns: Sequence[Column], reader: SampleReader) -> None:
    """Add spread, interval and the mark of a tie with the best to the results of tasks."""
    results = [c for c in cells if c.state == 'value' and columns[c.column].part == 'task']
    leaders = {cell.column: cell for cell in reversed(results) if cell.is_best}
    best = {place: reader.measured(c.runs, columns[place].metric) for place, c in leaders.items()}
    ties = defaultdict(set)
    for cell in results:
        measured = reader.measured(cell.runs, columns[cell.column].metric)
        cell.sd, interval = seed_spread(measured.values)
        interval_of = 'seeds'
        if interval is None and measured.samples[0] is not None:
            interval, interval_of = image_interval(measured.samples[0]), 'images'
        if interval is not None:
            (cell.low, cell.high), cell.interval_of = interval, interval_of
        if cell.column in best and cell is not leaders[cell.column]:
            differs = compare(best[cell.column], measured).is_distinguishable
            cell.is_tied = None if differs is None else not differs
            ties[cell.column].add(cell.is_tied)
    # The best is tied too if anything is tied with it, and alone only if all others were tested.
    for place, leader in leaders.items():
        leader.is_tied = next((answer for answer in (True, None) if answer in ties[place]), False)
