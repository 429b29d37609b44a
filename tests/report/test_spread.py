"""Spread, intervals and ties of a board's numbers, and how each renderer shows them."""

import csv
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from mim_bench.cli._board_view import print_leaderboard
from mim_bench.report.build import build_leaderboard
from mim_bench.report.formats import render_csv, render_markdown
from mim_bench.report.notes import conclusion
from mim_bench.results.collection import collect
from mim_bench.results.outcomes import Hits, ImageSet
from mim_bench.results.outcomes_file import write_outcomes
from mim_bench.results.store import write_record
from mim_bench.testing.records import make_checkpoint, make_record

NUM_IMAGES = 400
NONE = (None, None)
IMAGES = ImageSet(NUM_IMAGES, 'ab' * 32)


def checkpoint(name):
    return make_checkpoint(id=name, sha256=f'{len(name):02d}' * 32)


def run(name, value, seed=0, **changes):
    record = make_record('in1k-ft', {'top1': value}, checkpoint(name), seed=seed, **changes)
    return replace(record, run_id=f'in1k-ft-{name}-s{seed}')


class Results:
    """A folder of records, some with outcomes."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, record, right=None):
        if right is not None:
            hits = Hits(IMAGES, {'top1': np.asarray(right, dtype=bool)})
            write_outcomes(hits, self.folder / record.run_id)
            artifacts = replace(record.artifacts, outcomes='outcomes.npz')
            record = replace(record, artifacts=artifacts)
        write_record(record, self.folder)

    def add_hits(self, name, right, **changes):
        self.add(run(name, 100 * np.mean(right), **changes), right)

    def board(self):
        return build_leaderboard(collect(self.folder))


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / 'results')


def cells_of(board):
    """The cells of the only column, and their texts, by label."""
    cells = board.cells[board.cells['column'] == 0]
    cells = cells.assign(interval=list(zip(cells['low'], cells['high'], strict=True)))
    found = {cell.label: cell for cell in cells.itertuples()}
    return found, {label: cell.text for label, cell in found.items()}


def right(num):
    """The first images right, so that two classifiers disagree as little as possible."""
    return np.arange(NUM_IMAGES) < num


def test_cell_of_several_seeds_has_their_spread(results):
    for seed, value in enumerate((80.0, 82.0, 84.0)):
        results.add(run('a', value, seed))
    cells, texts = cells_of(results.board())
    cell = cells['a']
    assert (cell.value, cell.sd, cell.interval_of) == (82.0, 2.0, 'seeds')
    # t(0.975, 2 degrees of freedom) = 4.302653.
    reach = 4.302653 * 2 / 3**0.5
    assert cell.interval == pytest.approx((82 - reach, 82 + reach), abs=1e-5)
    assert texts['a'] == '82.0 ± 2.0 (n=3)'


def test_cell_of_one_seed_has_the_interval_over_images(results):
    results.add_hits('a', right(300))
    cells, texts = cells_of(results.board())
    assert cells['a'].interval_of == 'images'
    # Binomial: 75 +- 1.96 sqrt(0.75 0.25 / 400) = 75 +- 4.24.
    assert cells['a'].interval == pytest.approx((70.76, 79.24), abs=0.3)
    assert pd.isna(cells['a'].sd)
    assert texts['a'] == '75.0'


def test_seeds_that_change_nothing_leave_the_interval_over_images(results):
    for seed in range(3):  # k-NN draws nothing
        results.add_hits('a', right(300), seed=seed)
        results.add(run('b', 74.5, seed))
    cells, texts = cells_of(results.board())
    assert (cells['a'].interval_of, texts['a']) == ('images', '75.0 ± 0.0 (n=3)')
    assert cells['a'].interval == pytest.approx((70.76, 79.24), abs=0.3)
    assert cells['b'].is_tied is None


def test_cell_without_outcomes_has_no_interval(results):
    results.add(run('a', 75.0))
    cells, _ = cells_of(results.board())
    assert (cells['a'].interval, cells['a'].is_tied) == (NONE, None)


def test_ties_are_the_rows_that_no_test_tells_from_the_best(results):
    results.add_hits('best', right(320))
    results.add_hits('near', right(317))  # three images: p = 0.25
    results.add_hits('far', right(300))  # twenty images: p = 2e-6
    results.add(run('silent', 79.9))
    cells, _ = cells_of(results.board())
    assert {label: cell.is_tied for label, cell in cells.items()} == {
        'best': True, 'near': True, 'far': False, 'silent': None,
    }  # fmt: skip
    assert [label for label, cell in cells.items() if cell.is_best] == ['best']


def test_best_that_differs_from_all_others_is_alone(results):
    results.add_hits('best', right(320))
    results.add_hits('far', right(300))
    cells, _ = cells_of(results.board())
    assert {label: cell.is_tied for label, cell in cells.items()} == {'best': False, 'far': False}


def test_best_that_differs_from_those_tested_alone_is_not_called_ahead_of_all(results):
    results.add_hits('best', right(320))
    results.add_hits('far', right(300))
    results.add(run('silent', 79.9))
    board = results.board()
    cells, _ = cells_of(board)
    assert {label: cell.is_tied for label, cell in cells.items()} == {
        'best': None, 'far': False, 'silent': None,
    }  # fmt: skip
    assert 'significantly ahead of every other in none' in conclusion(board)


def test_ties_of_seeds_without_outcomes_are_found_by_welch(results):
    for name, values in {'a': (80.0, 82.0), 'b': (79.0, 82.0), 'c': (60.0, 60.1)}.items():
        for seed, value in enumerate(values):
            results.add(run(name, value, seed))
    cells, _ = cells_of(results.board())
    assert {label: cell.is_tied for label, cell in cells.items()} == {
        'a': True, 'b': True, 'c': False,
    }  # fmt: skip


def test_rows_of_other_images_are_not_tested(results):
    results.add_hits('a', right(320))
    results.add(run('b', 79.0), None)
    other = Hits(ImageSet(NUM_IMAGES, 'cd' * 32), {'top1': right(316)})
    record = run('b', 79.0)
    write_outcomes(other, results.folder / record.run_id)
    results.add(replace(record, artifacts=replace(record.artifacts, outcomes='outcomes.npz')))
    cells, _ = cells_of(results.board())
    assert cells['b'].interval != NONE
    assert (cells['a'].is_tied, cells['b'].is_tied) == (None, None)


def test_damaged_outcomes_are_named_and_the_number_stays(results):
    results.add_hits('a', right(300))
    (results.folder / 'in1k-ft-a-s0' / 'outcomes.npz').write_bytes(b'PK')
    board = results.board()
    cells, _ = cells_of(board)
    assert (cells['a'].value, cells['a'].interval) == (75.0, NONE)
    assert board.damaged[0].reason.startswith('no outcomes of a run: not a whole .npz file')


@pytest.fixture
def tied_board(results):
    results.add_hits('best', right(320))
    results.add_hits('near', right(317))
    for seed, value in enumerate((60.0, 62.0)):
        results.add(run('seeds', value, seed))
    return results.board()


def test_csv_has_the_spread_in_columns(tied_board):
    table = csv.DictReader(io.StringIO(render_csv(tied_board)))
    lines = {line['checkpoint']: line for line in table if line['metric'] == 'top1'}
    near, seeds = lines['near'], lines['seeds']
    assert (near['n'], near['sd'], near['ci_of'], near['not_distinguishable']) == (
        '1', '', 'images', 'True',
    )  # fmt: skip
    assert float(near['ci_low']) < 79.25 < float(near['ci_high'])
    assert (seeds['value'], seeds['n'], seeds['ci_of']) == ('61.0', '2', 'seeds')
    assert float(seeds['sd']) == pytest.approx(2**0.5)
    assert seeds['not_distinguishable'] == ''


def test_markdown_and_terminal_show_marks_and_legend(tied_board):
    board = tied_board  # P(X <= 303) < 0.025 < P(X <= 304) of 400 images at 0.8: 76.0
    text = render_markdown(board)
    assert '**80.0** ≈<br>\\[76.0, 83.8\\] |' in text
    assert '61.0 ± 1.4 (n=2)' in text
    assert 'not distinguishable from the best of their column (p ≥ 0.05' in text
    console = Console(width=120, record=True, file=io.StringIO())
    print_leaderboard(board, console)
    shown = console.export_text()
    assert '80.0 ≈' in shown
    assert '[76.0, 83.8]' in shown
    assert 'not distinguishable' in shown
