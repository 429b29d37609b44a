import re

import pytest

from mim_bench.report.build import build_leaderboard
from mim_bench.results.store import collect, write_record


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
        return build_leaderboard(collect(tmp_path / 'results'))

    return build
