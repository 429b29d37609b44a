import pytest

from mim_bench.report.board import DASH
from mim_bench.report.formats import render_markdown
from mim_bench.report.page import render_html
from mim_bench.report.tables import proxy_pairs, sections
from mim_bench.testing.records import make_checkpoint, make_metric, make_protocol, make_record

KNN, FULL = [50.0, 52.0, 51.0, 40.0], [80.0, 82.0, 81.5, 83.0]


def measured(task, metric, values, tier='full', **changes):
    """A record of each value, of rows a, b, c, ..."""
    return [
        make_record(
            task,
            {metric: value},
            make_checkpoint(id=name, sha256=f'{ord(name):064x}'),
            run_id=f'{task}-{tier}-{name}',
            protocol=make_protocol(task, tier),
            **changes,
        )
        for name, value in zip('abcdefgh', values, strict=False)
    ]


def table_of(board):
    """The texts of the table of pairs."""
    ((table,),) = (section.tables for section in sections(board) if section.name == 'proxy')
    return [tuple(text.split('\n')[0] for text in line) for line in table.frame.to_numpy()]


def test_proxy_pairs_over_the_rows_that_hold_both(board_of):
    board = board_of(
        *measured('in1k-knn', 'knn_top1', [*KNN, 10.0]), *measured('in1k-ft', 'top1', FULL)
    )
    # a < c < b in both; d is last by the proxy and first in full: 3 pairs agree, 3 do not.
    assert table_of(board) == [('k-NN top-1', 'Fine-tune top-1', '4', '+0.00', '1.000')]


def test_proxy_pairs_of_tier_proxy_with_the_same_task_in_full(board_of):
    board = board_of(
        *measured('ade20k-upernet', 'mIoU', KNN[:3], tier='proxy'),
        *measured('ade20k-upernet', 'mIoU', FULL[:3]),
    )
    assert table_of(board) == [('UPerNet mIoU', 'UPerNet mIoU', '3', '+1.00', '0.333')]


def test_proxy_pairs_probes_of_both_tiers_and_full_training(board_of):
    board = board_of(
        *measured('in1k-linear', 'linear_top1', KNN, tier='proxy'),
        *measured('in1k-linear', 'linear_top1', KNN),
        *measured('in1k-ft', 'top1', FULL),
    )
    found = [(proxy.qualifier[:5], full.task) for proxy, full, _ in proxy_pairs(board)]
    assert found == [
        ('in1k-', 'in1k-ft'), ('proxy', 'in1k-linear'), ('proxy', 'in1k-ft'),
    ]  # fmt: skip


def test_proxy_pairs_lower_is_better_counts_the_other_way(board_of):
    proxy = measured('my-task', 'score', [1.0, 2.0, 3.0], tier='proxy')
    full = measured('my-task', 'score', [4.0, 5.0, 6.0])
    for record in full:
        value = record.metrics['score'].value
        record.metrics['score'] = make_metric(value, '', higher_is_better=False)
    assert [line[3] for line in table_of(board_of(*proxy, *full))] == ['-1.00']


def test_proxy_pairs_other_data_set_or_metric_is_not_compared(board_of):
    board = board_of(
        *measured('in1k-knn', 'knn_top1', KNN),
        *measured('ade20k-upernet', 'mIoU', FULL),
        *measured('coco-gfl', 'bbox_mAP', KNN, tier='proxy'),
        *measured('coco-mask-rcnn', 'segm_mAP', FULL),
    )
    assert list(proxy_pairs(board)) == []
    assert table_of(board) == []


def test_proxy_pairs_smoke_numbers_never_count(board_of):
    board = board_of(
        *measured('in1k-knn', 'knn_top1', KNN, tier='smoke'), *measured('in1k-ft', 'top1', FULL)
    )
    assert 'proxy' not in {section.name for section in sections(board)}


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        (KNN[:2], 'fewer than 3 rows hold both'),
        ([50.0] * 3, 'all values of one side are equal'),
    ],
)
def test_proxy_pairs_that_tell_nothing_give_no_number(board_of, values, reason):
    board = board_of(*measured('in1k-knn', 'knn_top1', values), *measured('in1k-ft', 'top1', FULL))
    assert [line[3:] for line in table_of(board)] == [(reason, DASH)]


def test_renderers_say_that_no_row_holds_both(board_of):
    board = board_of(*measured('in1k-knn', 'knn_top1', KNN))
    for text in (render_markdown(board), render_html(board)):
        assert 'No row of this board holds a proxy and a full number' in text


def test_proxy_pairs_of_robustness_are_of_one_test_set_and_probes_stand_for_trainings(board_of):
    board = board_of(
        *measured('imagenet-a-knn', 'knn_top1', KNN),
        *measured('imagenet-a', 'top1', FULL),
        *measured('imagenet-r', 'top1', FULL),
        *measured('imagenet-r', 'top1', FULL, tier='proxy'),
    )
    found = [(proxy.task, full.task) for proxy, full, _ in proxy_pairs(board)]
    assert found == [('imagenet-r', 'imagenet-r'), ('imagenet-a-knn', 'imagenet-a')]
