from dataclasses import replace

import pytest

from mim_bench.cli._row_tests import compare_rows
from mim_bench.report.build import build_leaderboard
from mim_bench.report.notes import conclusion
from mim_bench.report.page import render_html
from mim_bench.results.collection import collect
from mim_bench.results.record import Metric
from mim_bench.results.store import write_record
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
    return [board.columns[place].title for place in board.results(headline=True)]


def _cells(board, title):
    (place,) = [place for place, column in enumerate(board.columns) if column.title == title]
    return board.cells[board.cells['column'] == place].set_index('label')


def _states(board, title):
    return _cells(board, title)['state'].to_dict()


def _best(board, place=None):
    is_here = board.cells['column'].eq(place) if place is not None else True
    return list(board.cells['label'][board.cells['is_best'] & is_here])


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
        'UPerNet mIoU',
        'Mask R-CNN box AP',
        'Mask R-CNN mask AP',
        'Pre-training img/s',
        'Pre-training wait for data',
        'Pre-training peak memory',
        'Pre-training device time',
        'my-task score',
    ]


def test_build_unknown_metric_of_known_task_is_a_further_column(board_of):
    board = board_of(make_record('in1k-ft', {'top1': 80.0, 'top5': 95.0}))
    further = [board.columns[place].title for place in board.results(headline=False)]
    assert further == ['Fine-tuning top-5']


def test_build_best_of_a_column_is_marked(board_of):
    board = board_of(
        make_record(metrics={'knn_top1': 50.04}),
        make_record(metrics={'knn_top1': 50.03}, checkpoint=OTHER),
    )
    # Both read 50.0: the mark rests on the unrounded values.
    assert _best(board, 0) == ['swin-tiny.ummae-10e']


def test_build_lower_is_better_marks_the_lowest(board_of):
    high, low = (make_metric(value, higher_is_better=False) for value in (3.0, 2.0))
    board = board_of(
        replace(make_record('my-task', {'error': 0.0}, OTHER), metrics={'error': high}),
        replace(make_record('my-task', {'error': 0.0}), metrics={'error': low}),
    )
    assert _best(board, 0) == ['swin-tiny.ummae-10e']
    assert board.rows.index[0] == 'swin-tiny.ummae-10e'


@pytest.mark.parametrize(
    ('change', 'qualifier'), [({'neighbours': 5}, ''), ({'tier': 'smoke'}, 'smoke')]
)
def test_build_other_hash_or_tier_is_another_column_and_never_ranked(board_of, change, qualifier):
    protocol = make_protocol(**change)
    board = board_of(
        make_record(metrics={'knn_top1': 50.0}),
        make_record(metrics={'knn_top1': 60.0}, checkpoint=OTHER, protocol=protocol),
    )
    columns = [board.columns[place] for place in board.results()]
    assert len(columns) == len({column.qualifier for column in columns}) == 2
    assert qualifier in columns[1].qualifier
    assert _best(board) == []


def test_build_same_metric_with_another_unit_is_another_column(board_of):
    share = {'knn_top1': make_metric(0.5, unit='')}
    board = board_of(make_record(), replace(make_record(checkpoint=OTHER), metrics=share))
    assert [board.columns[place].unit for place in board.results()] == ['', '%']


def test_build_failed_run_marks_every_cell_of_its_task(board_of):
    board = board_of(
        make_record('coco-mask-rcnn', {'bbox_mAP': 30.0, 'segm_mAP': 25.0}),
        make_record('coco-mask-rcnn', checkpoint=OTHER, error='boom'),
    )
    assert _states(board, 'Mask R-CNN box AP')['swin-tiny.simmim-10e'] == 'failed'
    assert _states(board, 'Mask R-CNN mask AP')['swin-tiny.simmim-10e'] == 'failed'
    assert [record.error for record in board.failed] == ['boom']


def test_build_failed_run_of_a_task_with_two_names_of_its_metric_has_one_column(board_of):
    board = board_of(make_record(), make_record('in1k-linear', error='boom'))
    assert [board.columns[place].title for place in board.results()] == [
        'k-NN top-1', 'Linear top-1',
    ]  # fmt: skip


def test_build_means_that_differ_by_rounding_are_equal(board_of):
    one, other = make_checkpoint(), OTHER
    board = board_of(
        *(
            make_record('coco-gfl', {'bbox_mAP': value}, who, seed=seed, run_id=f'{who.id}-{seed}')
            for who, values in ((one, (0.2, 0.1)), (other, (0.3, 0.0)))
            for seed, value in enumerate(values)
        )
    )
    assert sorted(_best(board)) == sorted([one.id, other.id])
    assert board.rows['Mean rank'].tolist() == [1.5, 1.5]
    assert board.cells['low'].min() == 0  # of no AP below 0


def test_build_failed_run_beside_a_finished_one_does_not_hide_it(board_of):
    board = board_of(make_record(), make_record(error='boom', run_id='first-try'))
    assert _states(board, 'k-NN top-1') == {'swin-tiny.ummae-10e': 'value'}


def test_build_same_seed_twice_shows_the_later_run(board_of):
    board = board_of(
        make_record(metrics={'knn_top1': 54.0}, started_at='2026-02-01T00:00:00Z', run_id='a'),
        make_record(metrics={'knn_top1': 50.0}, run_id='b'),
    )
    assert list(_cells(board, 'k-NN top-1')['value']) == [54.0]


def _cost(board, title):
    """The values of a column of costs by label, rounded, and its unit."""
    (column,) = [column for column in board.columns if column.title == title]
    return _cells(board, title)['value'].round(6).to_dict(), column.unit


def test_build_cost_comes_from_the_pretraining_of_the_checkpoint(board_of):
    board = board_of(make_record(), make_pretraining_record(), make_record(checkpoint=OTHER))
    label = 'swin-tiny.ummae-10e'
    assert _cost(board, 'Pre-training peak memory') == ({label: 512.0}, 'MiB')
    assert _cost(board, 'Pre-training device time') == ({label: 60.0}, 'min')


def test_build_of_random_weights_alone_has_a_row_and_no_column(board_of):
    board = board_of(make_pretraining_record(RANDOM))
    assert (list(board.rows.index), board.columns) == (['swin-tiny.random'], [])
    assert 'Nothing is ranked' in render_html(board)


def test_build_cost_is_never_ranked(board_of):
    board = board_of(make_pretraining_record(), make_pretraining_record(OTHER))
    assert _best(board) == []


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
    labels = ['swin-tiny.ummae-10e@abababab', 'swin-tiny.ummae-10e@efefefef']
    assert sorted(board.rows.index) == labels
    assert 'Pre-training img/s' not in _titles(board)


def ranked(board_of, values, **methods):
    """The board of rows with these values by task; None was not measured."""
    metrics = {'in1k-knn': 'knn_top1', 'in1k-ft': 'top1', 'ade20k-upernet': 'mIoU'}
    records = []
    for name, numbers in values.items():
        changes = {'method': methods[name]} if name in methods else {}
        checkpoint = make_checkpoint(id=name, sha256=f'{ord(name[0]):064x}', **changes)
        for (task, metric), value in zip(metrics.items(), numbers, strict=True):
            if value is not None:
                records.append(make_record(task, {metric: value}, checkpoint))
    return board_of(*records)


def test_build_rows_are_sorted_by_mean_rank_over_the_columns_they_share(board_of):
    # Ranks a: 1 2 3, b: 2 1 1, c: 3 3 2.
    board = ranked(board_of, {'a': (60, 80, 40), 'b': (50, 81, 42), 'c': (40, 79, 41)})
    ranks = board.rows['Mean rank'].round(6)
    assert list(ranks.items()) == [('b', 1.333333), ('a', 2.0), ('c', 2.666667)]


def test_build_ties_share_their_ranks(board_of):
    board = ranked(board_of, {'a': (60, 80, 40), 'b': (60, 80, 40), 'c': (40, 70, 30)})
    assert list(board.rows['Mean rank']) == [1.5, 1.5, 3.0]
    assert conclusion(board).startswith(
        'a, b tie for first of 3 checkpoints, with a mean rank of 1.5'
    )


def test_build_row_without_a_shared_column_gets_no_mean(board_of):
    values = {'a': (50, 80, 40), 'b': (51, 81, 41), 'c': (52, 82, 42), 'd': (99, None, None)}
    board = ranked(board_of, values)
    shared = [board.columns[place].task for place in board.shared]
    assert shared == ['in1k-knn', 'in1k-ft', 'ade20k-upernet']
    ranks = board.rows['Mean rank'].fillna(-1)
    assert list(ranks.items()) == [('c', 1.0), ('b', 2.0), ('a', 3.0), ('d', -1)]


def test_build_ranks_the_larger_of_two_groups_without_a_column_in_common(board_of):
    values = {'a': (50, None, None), 'b': (51, None, None)}
    values |= {'c': (None, 80, 40), 'd': (None, 81, 41)}
    board = ranked(board_of, values)
    assert [board.columns[place].task for place in board.shared] == ['in1k-ft', 'ade20k-upernet']
    assert list(board.rows['Mean rank'].dropna().items()) == [('d', 1.0), ('c', 2.0)]


def test_build_baselines_come_last_and_are_never_best(board_of):
    values = {'a': (50, 80, 40), 'b': (51, 79, 39), 'sup': (90, 90, 90), 'zero': (91, 91, 91)}
    board = ranked(board_of, values, sup='supervised-in1k', zero='random')
    assert list(board.rows.index) == ['a', 'b', 'zero', 'sup']
    assert set(_best(board)) == {'a', 'b'}
    assert board.rows['Mean rank'][2:].isna().all()


def test_build_tiers_below_full_do_not_count_beside_full(board_of):
    board = board_of(
        make_record(metrics={'knn_top1': 50.0}),
        make_record(metrics={'knn_top1': 60.0}, checkpoint=OTHER),
        make_record('in1k-ft', {'top1': 9.0}, protocol=make_protocol('in1k-ft', 'smoke')),
        make_record('in1k-ft', {'top1': 1.0}, OTHER, protocol=make_protocol('in1k-ft', 'smoke')),
    )
    assert [board.columns[place].task for place in board.shared] == ['in1k-knn']
    assert board.rows.index[0] == OTHER.id


def test_build_losses_are_never_ranked(board_of):
    board = board_of(
        make_record('in1k-ft', {'top1': 80.0, 'loss': 0.5, 'decode.loss_ce': 0.1}),
        make_record('in1k-ft', {'top1': 81.0, 'loss': 0.4, 'decode.loss_ce': 0.2}, OTHER),
    )
    ranked = {
        board.columns[place].metric: board.columns[place].is_ranked for place in board.results()
    }
    assert ranked == {'top1': True, 'loss': False, 'decode.loss_ce': False}
    assert _best(board) == [OTHER.id]


def test_build_small_values_beside_large_ones_are_not_shown_as_zero(board_of):
    records = [
        make_record('my-task', {'score': value}, checkpoint)
        for value, checkpoint in ((10.0, make_checkpoint()), (0.00278, OTHER))
    ]
    records = [replace(r, metrics={'score': replace(r.metrics['score'], unit='')}) for r in records]
    texts = _cells(board_of(*records), 'my-task score')['text']
    assert sorted(texts) == ['0.003', '10.000']


def test_build_what_a_probe_chose_is_never_ranked(board_of):
    records = [
        make_record('in1k-linear', {'linear_top1': value}, checkpoint)
        for value, checkpoint in ((50.0, make_checkpoint()), (51.0, OTHER))
    ]
    lr = Metric(0.1, '', higher_is_better=False, split='train')
    records = [replace(record, metrics={**record.metrics, 'linear_lr': lr}) for record in records]
    board = board_of(*records)
    assert [(c.metric, c.is_ranked) for c in board.columns if c.part == 'task'] == [
        ('linear_top1', True), ('linear_lr', False),
    ]  # fmt: skip
    assert [line['Metric'] for line in compare_rows(board, list(board.rows.index))] == [
        'Linear top-1'
    ]


@pytest.mark.parametrize(('tier', 'words'), [('full', 'protocols below'), ('smoke', 'smoke runs')])
def test_conclusion_says_how_far_it_reaches(board_of, tier, words):
    protocol = make_protocol(tier=tier)
    board = board_of(
        make_record(protocol=protocol),
        make_record(metrics={'knn_top1': 60.0}, checkpoint=OTHER, protocol=protocol),
    )
    assert 'best or tied with the best in 1 of 1 column' in conclusion(board)
    assert 'the order may be chance' in conclusion(board)  # nothing could be tested
    assert words in conclusion(board)


def test_conclusion_of_one_method_beside_baselines_is_none(board_of):
    assert 'Nothing is ranked' in conclusion(
        board_of(make_record(), make_record(checkpoint=RANDOM))
    )


def test_build_links_of_methods_are_known_and_those_of_rows_can_be_stated(tmp_path):
    write_record(make_record(), tmp_path)
    links = {'swin-tiny.ummae-10e': {'weights': 'https://example.org/w.pth'}}
    (found,) = build_leaderboard(collect(tmp_path), links=links).rows['links']
    assert found == {
        'paper': 'https://arxiv.org/abs/2205.10063',
        'code': 'https://github.com/implus/UM-MAE',
        'weights': 'https://example.org/w.pth',
    }


def test_build_rows_are_sorted_by_the_column_that_most_rows_have(board_of):
    board = board_of(
        make_record(metrics={'knn_top1': 99.0}, checkpoint=RANDOM),
        make_record('in1k-ft', {'top1': 70.0}),
        make_record('in1k-ft', {'top1': 80.0}, OTHER),
    )
    assert board.columns[board.sorted_by].title == 'Fine-tune top-1'
    assert list(board.rows.index) == [
        'swin-tiny.simmim-10e',
        'swin-tiny.ummae-10e',
        'swin-tiny.random',
    ]
