from dataclasses import replace

from mim_bench.results.record import Cost
from mim_bench.testing.records import (
    make_checkpoint,
    make_metric,
    make_pretraining_record,
    make_protocol,
    make_record,
)

OTHER = make_checkpoint(id='swin-tiny.simmim-10e', method='simmim', sha256='cd' * 32)
RANDOM = make_checkpoint(
    id='swin-tiny.random', method='random', sha256=None, pretrain_epochs=None, source='random'
)


def _titles(board):
    return [column.title for column in board.columns if column.is_headline]


def _column(board, title):
    return next(column for column in board.columns if column.title == title)


def _states(board, title):
    return {row.label: row.cell(_column(board, title)).state for row in board.rows}


def _best(board, column):
    return [row.label for row in board.rows if row.cell(column).is_best]


def test_build_known_tasks_come_in_their_order(board_of):
    board = board_of(
        make_record('my-task', {'score': 1.0}),
        make_record('coco-mask-rcnn', {'segm_mAP': 1.0, 'bbox_mAP': 1.0}),
        make_record('ade20k-upernet', {'mIoU': 1.0}),
        make_record('in1k-ft', {'top1': 1.0}),
        make_record('in1k-linear', {'linear_top1': 1.0}),
        make_record('in1k-knn', {'knn_top1': 1.0}),
        make_pretraining_record(),
    )
    assert _titles(board) == [
        'k-NN top-1',
        'Linear top-1',
        'Fine-tune top-1',
        'mIoU',
        'Box AP',
        'Mask AP',
        'Pre-training img/s',
        'Pre-training peak memory',
        'Pre-training device time',
        'my-task score',
    ]


def test_build_unknown_metric_of_known_task_is_a_further_column(board_of):
    board = board_of(make_record('in1k-ft', {'top1': 80.0, 'top5': 95.0}))
    further = [c.title for group in board.groups_of(headline=False) for c in group.columns]
    assert further == ['Fine-tuning top5']


def test_build_best_of_a_column_is_marked(board_of):
    board = board_of(
        make_record(metrics={'knn_top1': 50.04}),
        make_record(metrics={'knn_top1': 50.03}, checkpoint=OTHER),
    )
    # Both read 50.0: the mark rests on the unrounded values.
    assert _best(board, board.columns[0]) == ['swin-tiny.ummae-10e']


def test_build_lower_is_better_marks_the_lowest(board_of):
    high, low = (make_metric(value, higher_is_better=False) for value in (3.0, 2.0))
    board = board_of(
        replace(make_record('my-task', {'error': 0.0}, OTHER), metrics={'error': high}),
        replace(make_record('my-task', {'error': 0.0}), metrics={'error': low}),
    )
    assert _best(board, board.columns[0]) == ['swin-tiny.ummae-10e']
    assert board.rows[0].label == 'swin-tiny.ummae-10e'


def test_build_other_protocol_hash_is_another_column_and_never_ranked(board_of):
    board = board_of(
        make_record(metrics={'knn_top1': 50.0}),
        make_record(
            metrics={'knn_top1': 60.0}, checkpoint=OTHER, protocol=make_protocol(neighbours=5)
        ),
    )
    assert len(board.columns) == 2
    assert len({column.qualifier for column in board.columns}) == 2
    assert [_best(board, column) for column in board.columns] == [[], []]


def test_build_same_hash_of_another_tier_is_never_ranked_together(board_of):
    board = board_of(
        make_record(metrics={'knn_top1': 50.0}),
        make_record(
            metrics={'knn_top1': 60.0}, checkpoint=OTHER, protocol=make_protocol(tier='smoke')
        ),
    )
    assert [group.protocol.tier for group in board.groups] == ['full', 'smoke']
    assert 'smoke' in board.columns[1].qualifier
    assert [_best(board, column) for column in board.columns] == [[], []]


def test_build_same_metric_with_another_unit_is_another_column(board_of):
    share = {'knn_top1': make_metric(0.5, unit='')}
    board = board_of(make_record(), replace(make_record(checkpoint=OTHER), metrics=share))
    assert [column.unit for column in board.columns] == ['', '%']


def test_build_missing_cell_has_no_value(board_of):
    board = board_of(make_record(), make_record('in1k-ft', {'top1': 80.0}, OTHER))
    assert _states(board, 'k-NN top-1') == {
        'swin-tiny.ummae-10e': 'value',
        'swin-tiny.simmim-10e': 'missing',
    }


def test_build_failed_run_marks_every_cell_of_its_task(board_of):
    board = board_of(
        make_record('coco-mask-rcnn', {'bbox_mAP': 30.0, 'segm_mAP': 25.0}),
        make_record('coco-mask-rcnn', checkpoint=OTHER, error='boom'),
    )
    assert _states(board, 'Box AP')['swin-tiny.simmim-10e'] == 'failed'
    assert _states(board, 'Mask AP')['swin-tiny.simmim-10e'] == 'failed'
    assert [record.error for record in board.failed] == ['boom']


def test_build_task_that_only_failed_still_has_its_column(board_of):
    board = board_of(make_record('ade20k-upernet', error='boom'))
    assert _states(board, 'mIoU') == {'swin-tiny.ummae-10e': 'failed'}


def test_build_failed_run_beside_a_finished_one_does_not_hide_it(board_of):
    board = board_of(make_record(), make_record(error='boom', run_id='first-try'))
    assert _states(board, 'k-NN top-1') == {'swin-tiny.ummae-10e': 'value'}


def test_build_several_seeds_give_their_mean(board_of):
    board = board_of(
        make_record(metrics={'knn_top1': 50.0}),
        make_record(metrics={'knn_top1': 54.0}, seed=1, run_id='other-seed'),
    )
    cell = board.rows[0].cell(board.columns[0])
    assert (cell.value, len(cell.runs)) == (52.0, 2)


def test_build_same_seed_twice_shows_the_later_run(board_of):
    board = board_of(
        make_record(metrics={'knn_top1': 54.0}, started_at='2026-02-01T00:00:00Z', run_id='a'),
        make_record(metrics={'knn_top1': 50.0}, run_id='b'),
    )
    assert board.rows[0].cell(board.columns[0]).value == 54.0


def test_build_cost_comes_from_the_pretraining_of_the_checkpoint(board_of):
    board = board_of(make_record(), make_pretraining_record(), make_record(checkpoint=OTHER))
    row = next(row for row in board.rows if row.label == 'swin-tiny.ummae-10e')
    memory, time = (
        _column(board, f'Pre-training {name}') for name in ('peak memory', 'device time')
    )
    assert (row.cell(memory).value, memory.unit) == (512.0, 'MiB')
    assert (round(row.cell(time).value, 6), time.unit) == (60.0, 'min')
    assert _states(board, 'Pre-training peak memory')['swin-tiny.simmim-10e'] == 'missing'


def test_build_long_pretraining_is_given_in_hours(board_of):
    cost = Cost.measured(wall_s=36_000, device='NVIDIA H200', is_gpu=True, num_devices=8)
    board = board_of(make_pretraining_record(cost=cost))
    time = _column(board, 'Pre-training device time')
    assert (board.rows[0].cell(time).value, time.unit) == (80.0, 'h')


def test_build_random_weights_have_no_cost(board_of):
    board = board_of(make_record(checkpoint=RANDOM), make_pretraining_record(RANDOM))
    assert _states(board, 'Pre-training img/s') == {'swin-tiny.random': 'missing'}


def test_build_cost_is_never_ranked(board_of):
    board = board_of(make_pretraining_record(), make_pretraining_record(OTHER))
    assert not any(cell.is_best for row in board.rows for cell in row.cells.values())


def test_build_failed_pretraining_shows_as_failed(board_of):
    board = board_of(make_pretraining_record(error='boom'), make_pretraining_record(OTHER))
    assert _states(board, 'Pre-training img/s')['swin-tiny.ummae-10e'] == 'failed'


def test_build_one_id_for_two_files_gives_two_rows_without_cost(board_of):
    again = make_checkpoint(sha256='ef' * 32)
    board = board_of(
        make_record(),
        make_record('in1k-ft', {'top1': 80.0}, again),
        make_pretraining_record(),
    )
    assert _states(board, 'Pre-training img/s') == {
        'swin-tiny.ummae-10e@abababab': 'missing',
        'swin-tiny.ummae-10e@efefefef': 'missing',
    }


def test_build_rows_are_sorted_by_the_column_that_most_rows_have(board_of):
    board = board_of(
        make_record(metrics={'knn_top1': 99.0}, checkpoint=RANDOM),
        make_record('in1k-ft', {'top1': 70.0}),
        make_record('in1k-ft', {'top1': 80.0}, OTHER),
    )
    assert board.sorted_by.title == 'Fine-tune top-1'
    assert [row.label for row in board.rows] == [
        'swin-tiny.simmim-10e',
        'swin-tiny.ummae-10e',
        'swin-tiny.random',
    ]
