import io
import os
import shutil
import subprocess
import sys
import time

import pytest
from rich.console import Console

from mim_bench.cli import _board_view
from mim_bench.report import charts
from mim_bench.report.build import build_leaderboard
from mim_bench.report.charts import row_styles
from mim_bench.results.collection import collect
from mim_bench.results.record import Artifacts, Curve
from mim_bench.results.store import write_curves, write_record
from mim_bench.testing.many_records import write_many_records
from mim_bench.testing.records import make_checkpoint, make_record

MOST_SECONDS = 60
MOST_KIB = 2 << 20


@pytest.mark.slow
def test_report_of_20000_records_stays_in_its_time_and_memory(tmp_path):
    write_many_records(tmp_path / 'results', 20_000)
    words = ['report', str(tmp_path / 'results'), '--out', str(tmp_path / 'out')]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, '-m', 'mim_bench.cli.main', *words], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    assert status == 0
    assert seconds < MOST_SECONDS
    assert usage.ru_maxrss < MOST_KIB
    with (tmp_path / 'out' / 'runs.csv').open() as file:
        assert sum(1 for _ in file) == 1 + 20_000
    # What a browser loads stays far below what it can hold.
    assert (tmp_path / 'out' / 'leaderboard.html').stat().st_size < 32 << 20


def test_curve_charts_of_more_runs_than_a_chart_keeps_reads_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(charts, 'MOST_LINES', 3)
    for seed in range(5):
        record = make_record(seed=seed, run_id=f'run-{seed}', artifacts=Artifacts('curves.json'))
        folder = write_record(record, tmp_path).parent
        if seed < 4:  # one more tells that there are others
            write_curves([Curve('loss', 'iter', [[1, 0.5], [2, 0.25]])], folder)
    collection = collect(tmp_path)
    board = build_leaderboard(collection)
    (chart,), damaged = charts.curve_charts(board, row_styles(board))
    assert (len(chart.rows), chart.note, damaged) == (3, 'the first 3 lines', [])
    monkeypatch.setattr(charts, 'MOST_LINES', 4)
    shutil.rmtree(tmp_path / 'run-4')
    board = build_leaderboard(collect(tmp_path))
    (chart,), _ = charts.curve_charts(board, row_styles(board))
    assert (len(chart.rows), chart.note) == (4, '')


def test_terminal_shows_the_first_rows_and_counts_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(_board_view, 'MOST_TERMINAL_ROWS', 2)
    for name in 'abcd':
        checkpoint = make_checkpoint(id=name, sha256=f'{ord(name):064x}')
        write_record(make_record(checkpoint=checkpoint), tmp_path)
    console = Console(file=io.StringIO(), width=120)
    _board_view.print_leaderboard(build_leaderboard(collect(tmp_path)), console)
    assert '2 further checkpoints in the written leaderboard.' in console.file.getvalue()
