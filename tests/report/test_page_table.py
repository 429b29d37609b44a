from mim_bench.report.page_table import ROWS_SHOWN, page_facts
from mim_bench.testing.records import (
    make_checkpoint,
    make_pretraining_record,
    make_protocol,
    make_record,
)


def test_page_facts_groups_say_task_tier_and_a_name_for_links(board_of):
    smoke = make_protocol('in1k-ft', tier='smoke')
    board = board_of(
        make_record(),
        make_record('in1k-ft', {'top1': 80.0}, protocol=smoke),
        make_pretraining_record(),
    )
    page = page_facts(board)
    groups = [(g.index, g.task, g.tier) for g in page.places.values()]
    assert groups[:2] == [(0, 'in1k-knn', 'full'), (1, 'in1k-ft', 'smoke')]
    assert ('pretrain', '') in {(g.task, g.tier) for g in page.places.values()}
    assert list(page.places)[1] == f'in1k-ft.smoke.{smoke.hash}'
    assert page.tasks == {'in1k-knn': 'k-NN', 'in1k-ft': 'Fine-tuning'}
    assert page.tiers == ['full', 'smoke']


def test_page_facts_rows_know_the_groups_in_which_they_have_anything(board_of):
    other = make_checkpoint(id='other', method='simmim', sha256='cd' * 32)
    board = board_of(
        make_record(),
        make_record('in1k-ft', {'top1': 80.0}, checkpoint=other),
        make_record(checkpoint=other, error='boom'),
    )
    page = page_facts(board)
    assert {line.row.label: line.groups for line in page.rows} == {
        'swin-tiny.ummae-10e': '0',
        'other': '0 1',
    }
    assert page.methods == ['SimMIM', 'UM-MAE']


def test_page_facts_rows_beyond_the_first_wait_for_a_button(board_of):
    records = [
        make_record(checkpoint=make_checkpoint(id=f'c{i:03d}'), run_id=f'r{i}')
        for i in range(ROWS_SHOWN + 1)
    ]
    page = page_facts(board_of(*records))
    assert [line.is_hidden for line in page.rows] == [False] * ROWS_SHOWN + [True]
