import re

import pytest

from mim_bench.report.build import build_leaderboard
from mim_bench.results.collection import collect
from mim_bench.results.store import write_record


@pytest.fixture
def lines_of():
    """The lines of a Markdown text without the spaces that align its tables."""
    return lambda text: re.sub(r' +', ' ', text).splitlines()


@pytest.fixture
def board_of(tmp_path):
    """Writes records to a folder and builds the leaderboard of it."""

    def build(*records):
        for record in records:
            write_record(record, tmp_path / 'results')
        return build_leaderboard(collect(tmp_path / 'results'), published=[])

    return build


@pytest.fixture
def cells_of():
    """The cells of the column of a board with this title, by label, and the column."""

    def find(board, title=None):
        (place,) = [
            place
            for place, column in enumerate(board.columns)
            if column.title == title or (title is None and column.part == 'task')
        ]
        cells = board.cells[board.cells['column'] == place]
        return {cell.label: cell for cell in cells.itertuples()}, board.columns[place]

    return find
