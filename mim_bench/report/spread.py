"""How sure the numbers of a board are: spread over seeds, intervals, and ties with the best."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mim_bench.errors import RecordError
from mim_bench.report.board import Cell, Column, ColumnGroup, Row
from mim_bench.results.outcomes_file import read_samples
from mim_bench.results.record import RunRecord
from mim_bench.results.statistics.comparison import Measured, distinguishable
from mim_bench.results.statistics.samples import LARGEST_DIFFERENCE, Sample, image_interval
from mim_bench.results.statistics.seeds import summarise_seeds
from mim_bench.results.store import Collection, DamagedFile

# Rows of a column that are tested against the best, from the best on: the time stays bounded.
MOST_TESTED = 500
# With more runs that kept outcomes, only the rows that are tested have intervals over images.
MOST_READ = 5000


class SampleReader:
    """Reads the outcomes of runs; ``damaged`` are the files that could not be used."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._damaged: dict[str, DamagedFile] = {}

    @property
    def damaged(self) -> list[DamagedFile]:
        """In the order of their paths."""
        return [self._damaged[path] for path in sorted(self._damaged)]

    def read(self, run: RunRecord) -> dict[str, Sample]:
        """The samples of a run by metric; none if it kept no outcomes, or none of use."""
        relative = run.artifacts.outcomes
        if relative is None:
            return {}
        path = None
        try:
            path = self._collection.artifact_path(run, relative)
            samples = read_samples(path)
            _check(run, samples)
        except RecordError as error:
            where = f'{run.run_id}/{relative}'
            self._damaged[where] = DamagedFile(where, str(error).removeprefix(f'{path}: '))
            return {}
        return samples


def _check(run: RunRecord, samples: dict[str, Sample]) -> None:
    """Outcomes of another run must not decide about this one."""
    for name in set(samples) & set(run.metrics):
        found, stated = samples[name].value, run.metrics[name].value
        if abs(found - stated) > LARGEST_DIFFERENCE:
            raise RecordError(
                f'the outcomes give {name} = {found:.3f}, the record {stated:.3f}: they are of '
                'another run. Run again.'
            )


def measure(cell: Cell, column: Column, samples: dict[int, dict[str, Sample]]) -> Measured:
    """What tests need of a cell.

    Args:
        cell: With a value.
        column: It stands below.
        samples: By identity of the run, then by metric.
    """
    return Measured(
        tuple(run.metrics[column.metric].value for run in cell.runs),
        tuple(samples.get(id(run), {}).get(column.metric) for run in cell.runs),
    )


def add_spread(
    rows: Sequence[Row], groups: Iterable[ColumnGroup], collection: Collection
) -> list[DamagedFile]:
    """Give cells their spread, their interval, and the mark of a tie with the best.

    Args:
        rows: Of the board, with the best of each column marked; their cells are replaced.
        groups: Column groups; those of pre-training have no protocol, and no spread.
        collection: Says where outcomes lie.

    Returns:
        Outcomes that could not be used.
    """
    reader = SampleReader(collection)
    kept = sum(run.artifacts.outcomes is not None for run in collection.records)
    for group in groups:
        if group.protocol is not None:
            _spread_group(rows, group.columns, reader, reads_all=kept <= MOST_READ)
    return reader.damaged


def _spread_group(
    rows: Sequence[Row], columns: Sequence[Column], reader: SampleReader, *, reads_all: bool
) -> None:
    leaders = {}
    for column in columns:
        if best := [row for row in rows if row.cell(column).is_best]:
            cell = best[0].cell(column)
            leaders[column.key] = (best[0], measure(cell, column, _read([cell], reader)))
    tested = {column.key: _nearest(rows, column) for column in columns}
    candidates = set().union(*tested.values())
    for row in rows:
        cells = [(column, row.cell(column)) for column in columns]
        cells = [(column, cell) for column, cell in cells if cell.state == 'value']
        is_read = reads_all or row.label in candidates
        samples = _read((cell for _, cell in cells), reader) if is_read else {}
        for column, cell in cells:
            measured = measure(cell, column, samples)
            cell = _with_interval(cell, measured)
            if column.key in leaders and row.label in tested[column.key]:
                cell = _with_tie(cell, row, measured, *leaders[column.key])
            row.cells[column.key] = cell
    for column in columns:
        if column.key in leaders:
            _mark_leader(rows, column, leaders[column.key][0])


def _read(cells: Iterable[Cell], reader: SampleReader) -> dict[int, dict[str, Sample]]:
    runs = {id(run): run for cell in cells for run in cell.runs}
    return {key: reader.read(run) for key, run in runs.items()}


def _nearest(rows: Sequence[Row], column: Column) -> set[str]:
    """The rows with the best values, as many as are tested."""
    sign = -1 if column.higher_is_better else 1
    holders = [row for row in rows if row.cell(column).state == 'value']
    holders.sort(key=lambda row: (sign * row.cell(column).value, row.label))
    return {row.label for row in holders[:MOST_TESTED]}


def _with_interval(cell: Cell, measured: Measured) -> Cell:
    summary = summarise_seeds(measured.values)
    if summary.sd is not None:
        return replace(cell, sd=summary.sd, interval=summary.interval, interval_of='seeds')
    sample = measured.samples[0]
    interval = image_interval(sample) if sample is not None else None
    return replace(cell, interval=interval, interval_of='images' if interval else None)


def _with_tie(cell: Cell, row: Row, measured: Measured, leader: Row, best: Measured) -> Cell:
    if row is leader:
        return cell
    is_other = distinguishable(best, measured)
    return cell if is_other is None else replace(cell, is_tied=not is_other)


def _mark_leader(rows: Sequence[Row], column: Column, leader: Row) -> None:
    """The best is tied too if anything is tied with it."""
    ties = [row.cell(column).is_tied for row in rows if row is not leader]
    known = [tie for tie in ties if tie is not None]
    if known:
        leader.cells[column.key] = replace(leader.cell(column), is_tied=any(known))
