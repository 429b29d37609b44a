"""What runs cost: columns for each task, totals, and what is not known."""

import csv
import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from mim_bench.cli._board_view import print_leaderboard
from mim_bench.report.formats import render_csv, render_markdown, render_runs_csv
from mim_bench.report.page import render_html
from mim_bench.results.record import Cost
from mim_bench.testing.records import make_checkpoint, make_pretraining_record, make_record

RANDOM = make_checkpoint(id='swin-tiny.random', method='random', sha256=None)
UNKNOWN = Cost(None, None, None, 'unknown', None)


def hours(count, energy=None, **changes):
    """The cost of so many hours on 8 GPUs."""
    return Cost.measured(
        wall_s=3600 * count, device='NVIDIA H200', is_gpu=True, num_devices=8,
        energy_joules=energy, **changes,
    )  # fmt: skip


def cost_cell(board, title):
    """The cell of the first row, and its column."""
    (place,) = [p for p in board.costs if board.columns[p].title == title]
    is_here = board.cells['column'].eq(place) & board.cells['label'].eq(board.rows.index[0])
    (cell,) = board.cells[is_here].itertuples()
    return cell, board.columns[place]


def test_total_is_the_sum_of_pretraining_and_every_seed_of_every_task(board_of):
    board = board_of(
        make_pretraining_record(cost=hours(10)),
        make_record('in1k-ft', {'top1': 80.0}, cost=hours(2)),
        make_record('in1k-ft', {'top1': 81.0}, cost=hours(3), seed=1, run_id='other'),
        make_record('ade20k-upernet', {'mIoU': 40.0}, cost=hours(1)),
    )
    cell, column = cost_cell(board, 'Total device time')
    assert (cell.value, column.unit, len(cell.runs)) == (8 * 16.0, 'h', 4)
    assert cell.text == '128'  # its runs are no seeds


def test_total_counts_a_run_that_measured_two_tasks_once(board_of):
    board = board_of(
        make_pretraining_record(cost=hours(10)),
        make_record('in1k-knn', {'knn_top1': 50.0}, cost=hours(1)),
        make_record('in1k-linear', {'linear_top1': 60.0}, cost=hours(1)),
    )
    assert cost_cell(board, 'Total device time')[0].value == 8 * 11.0


def test_total_leaves_out_failed_runs_and_those_that_a_later_one_replaced(board_of):
    board = board_of(
        make_pretraining_record(cost=hours(10)),
        make_record(cost=hours(1), started_at='2026-02-01T00:00:00Z'),
        make_record(cost=hours(5), run_id='earlier'),
        make_record('in1k-ft', cost=hours(7), error='boom'),
    )
    assert cost_cell(board, 'Total device time')[0].value == 8 * 11.0


def test_total_of_random_weights_has_no_pretraining(board_of):
    board = board_of(make_record(checkpoint=RANDOM, cost=hours(2)))
    assert cost_cell(board, 'Total device time')[0].value == 16.0


@pytest.mark.parametrize(
    ('records', 'note'),
    [
        ([make_record(cost=hours(2))], 'not known of: pre-training'),
        ([make_record(cost=UNKNOWN), make_pretraining_record()], 'not known of: k-NN'),
        ([make_record(), make_pretraining_record(error='boom')], 'not known of: pre-training'),
        ([make_record(cost=UNKNOWN)], 'not known of: pre-training, k-NN'),
    ],
)
def test_total_with_an_unknown_part_is_no_number_and_says_which(board_of, records, note):
    cell, _ = cost_cell(board_of(*records), 'Total device time')
    assert (cell.state, cell.text, cell.note) == ('unknown', 'unknown', note)
    assert math.isnan(cell.value)


def test_total_energy_is_shown_where_something_knows_it(board_of):
    known = board_of(
        make_pretraining_record(cost=hours(10, energy=3.6e9)),
        make_record(cost=hours(2, energy=3.6e8)),
    )
    cell, column = cost_cell(known, 'Total energy')
    assert (cell.value, column.unit) == (pytest.approx(1100.0), 'kWh')


def test_total_energy_with_one_run_that_does_not_know_it_is_unknown(board_of):
    board = board_of(
        make_pretraining_record(cost=hours(10, energy=3.6e9)), make_record(cost=hours(2))
    )
    assert cost_cell(board, 'Total energy')[0].note == 'not known of: k-NN'
    assert cost_cell(board, 'Total device time')[0].value == 96.0


def test_pretraining_energy_has_a_column_where_it_is_known(board_of, cells_of):
    board = board_of(make_pretraining_record(cost=hours(10, energy=7.2e9)))
    cells, column = cells_of(board, 'Pre-training energy')
    assert (column.unit, [cell.value for cell in cells.values()]) == ('kWh', [pytest.approx(2000)])


def test_costs_nobody_knows_have_no_column(board_of):
    board = board_of(make_pretraining_record(), make_record())
    titles = [board.columns[place].title for place in board.costs]
    assert titles == ['Total device time', 'k-NN run device time']


def test_gpu_time_has_a_column_where_not_all_devices_are_gpus(board_of):
    board = board_of(
        make_pretraining_record(cost=hours(10)),
        make_record(cost=Cost.measured(wall_s=7200.0, device='cpu', is_gpu=False)),
    )
    assert cost_cell(board, 'Total GPU time')[0].value == 80.0
    assert cost_cell(board, 'Total device time')[0].value == 82.0


def test_cost_of_a_task_is_the_mean_over_seeds_and_the_highest_peak(board_of):
    first = hours(1, img_per_s=100.0, data_wait_share=0.1, peak_mem_bytes=20 << 30, energy=1e6)
    second = hours(3, img_per_s=200.0, data_wait_share=0.3, peak_mem_bytes=30 << 30, energy=3e6)
    board = board_of(make_record(cost=first), make_record(cost=second, seed=1, run_id='other-seed'))
    for name, value, unit in (
        ('img/s', 150.0, ''),
        ('wait for data', pytest.approx(20.0), '%'),
        ('peak memory', 30.0, 'GiB'),
        ('device time', 16.0, 'h'),
        ('energy', 2000.0, 'kJ'),
    ):
        cell, column = cost_cell(board, f'k-NN run {name}')
        assert (cell.value, column.unit, column.is_ranked) == (value, unit, False)


def test_markdown_and_csv_have_the_total(board_of, lines_of):
    board = board_of(
        make_pretraining_record(cost=hours(10)), make_record(cost=hours(2)),
        make_record(checkpoint=make_checkpoint(id='foreign', sha256='cd' * 32), cost=hours(1)),
    )  # fmt: skip
    text = render_markdown(board)
    assert 'Total device time (h)' in text
    assert '| UM-MAE | swin-tiny | foreign | unknown | 8.0 |' in lines_of(text)
    lines = list(csv.DictReader(io.StringIO(render_csv(board))))
    totals = {line['checkpoint']: line for line in lines if line['task'] == 'total'}
    assert totals['swin-tiny.ummae-10e']['value'] == '96.0'
    assert totals['swin-tiny.ummae-10e']['protocol_hash'] == ''
    assert (totals['foreign']['state'], totals['foreign']['value']) == ('unknown', '')
    assert totals['foreign']['note'] == 'not known of: pre-training'


def test_runs_csv_has_a_line_for_each_run_with_its_cost(board_of):
    board = board_of(
        make_record(cost=hours(2, energy=5.0), run_id='=1', origin='collected'),
        make_record('in1k-ft', cost=replace(UNKNOWN, device='+x'), error='boom'),
    )
    knn, failed = csv.DictReader(io.StringIO(render_runs_csv(board)))
    assert (knn['run_id'], knn['origin'], knn['cost_energy_joules']) == ("'=1", 'collected', '5.0')
    assert (knn['cost_gpu_hours'], knn['cost_num_devices']) == ('16.0', '8')
    assert knn['results'] == 'knn_top1 50 % (val)'
    assert (failed['status'], failed['error'], failed['cost_wall_s']) == ('failed', 'boom', '')
    assert failed['cost_device'] == "'+x"


def test_renderers_show_a_collected_record_whose_cost_is_not_known(board_of):
    env = {**make_record().env, 'work_dir': 'work_dirs/this-one', 'collected_by': 'mim_bench 1'}
    board = board_of(
        make_record(cost=UNKNOWN, origin='collected', env=env),
        make_pretraining_record(cost=UNKNOWN),
    )
    page = render_html(board)
    assert 'unknown' in page
    assert 'work_dirs/this-one' not in page
    console = Console(file=io.StringIO(), width=160)
    print_leaderboard(board, console)
    assert '50.0' in console.file.getvalue()
    assert ' unknown |' in render_markdown(board)
