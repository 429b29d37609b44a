"""How sure the numbers of the board are: what tests need of runs, intervals, ties with the best."""

from collections.abc import Sequence
from functools import lru_cache

import pandas as pd

from mim_bench.errors import RecordError
from mim_bench.report.board import Column
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
        samples = tuple(self._samples(run).get(metric) for run in runs)
        return Measured(tuple(run.metrics[metric].value for run in runs), samples)

    def _samples(self, run: RunRecord) -> dict[str, Sample]:
        """The samples of a run by metric; none if it kept no outcomes, or none of use."""
        relative = run.artifacts.outcomes
        if relative is None:
            return {}
        path = None
        try:
            path = self._collection.artifact_path(run, relative)
            samples = self._read(path)
            for name in filter(run.metrics.get, samples):
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
    cells: pd.DataFrame, columns: Sequence[Column], reader: SampleReader
) -> pd.DataFrame:
    """Add their spread, their interval, and the mark of a tie with the best to results.

    Args:
        cells: By label, with the best of each column marked.
        columns: Of the board.
        reader: Reads the outcomes.
    """
    is_result = cells['column'].map(lambda place: columns[place].part == 'task')
    results = cells[is_result & cells['state'].eq('value')]
    metrics = {place: columns[place].metric for place in results['column'].unique()}
    leaders = results[results['is_best']].drop_duplicates('column').set_index('column')
    best = {place: reader.measured(c.runs, metrics[place]) for place, c in leaders.iterrows()}
    found = []
    for cell in results.itertuples():
        measured = reader.measured(cell.runs, metrics[cell.column])
        sd, interval = seed_spread(measured.values)
        if sd is None and measured.samples[0] is not None:
            interval = image_interval(measured.samples[0])
        low, high = interval or (None, None)
        differs = None
        if cell.column in best and cell.label != leaders['label'][cell.column]:
            differs = compare(best[cell.column], measured).is_distinguishable()
        of = interval and ('images' if sd is None else 'seeds')
        found.append((sd, low, high, of, None if differs is None else not differs))
    names = ['sd', 'low', 'high', 'interval_of', 'is_tied']
    spread = pd.DataFrame(found, results.index, names, dtype=object)
    # The best is tied too if anything is tied with it.
    for place in best:
        ties = set(spread['is_tied'][results['column'] == place]) - {None}
        is_leader = (results['column'] == place) & (results['label'] == leaders['label'][place])
        spread.loc[is_leader, 'is_tied'] = any(ties) if ties else None
    cells = cells.join(spread)
    return cells.assign(is_tied=cells['is_tied'].where(cells['is_tied'].notna(), None))
