import pytest

from mim_bench.report.build import build_leaderboard
from mim_bench.report.page import render_html
from mim_bench.report.published import published_rows
from mim_bench.results.collection import collect
from mim_bench.results.store import write_record
from mim_bench.testing.records import (
    make_checkpoint,
    make_protocol,
    make_published,
    make_record,
)

RESULT = make_published(value=83.6)
OTHER_RECIPE = {'ours': None, 'epochs': 200}
CHECKPOINT = make_checkpoint(id='ours', method='simmim', backbone='vit-base-p16')


@pytest.fixture
def board_with(tmp_path):
    def build(*results, tier='full', names=('in1k-ft-mae-100e',)):
        for name in names:
            protocol = make_protocol(name, tier=tier)
            settings = dict(protocol=protocol, run_id=name)
            write_record(make_record('in1k-ft', {'top1': 80.0}, CHECKPOINT, **settings), tmp_path)
        return build_leaderboard(collect(tmp_path), results)

    return build


def test_published_rows_stand_below_the_column_of_their_recipe(board_with):
    board = board_with(RESULT, names=('in1k-ft-conmim-100e', 'in1k-ft-mae-100e'))
    (row,) = published_rows(board)
    ((place, (_, is_same)),) = row['cells'].items()
    assert board.columns[place].protocol.name == 'in1k-ft-mae-100e'
    assert is_same


def test_published_rows_of_another_recipe_are_marked(board_with):
    (row,) = published_rows(board_with(make_published(value=83.6, protocol=OTHER_RECIPE)))
    ((_, is_same),) = row['cells'].values()
    assert not is_same


@pytest.mark.parametrize('tier', ['smoke', 'proxy'])
def test_published_rows_never_stand_beside_lower_tiers(board_with, tier):
    assert published_rows(board_with(RESULT, tier=tier)) == []


def test_published_rows_are_of_the_backbones_of_the_board(board_with):
    board = board_with(RESULT, make_published(backbone='swin-base', method='simmim'))
    assert [row['first'].backbone for row in published_rows(board)] == ['vit-base-p16']


def test_published_rows_two_numbers_for_one_column_give_two_rows_best_first(board_with):
    second = make_published(value=83.9, protocol=OTHER_RECIPE)
    rows = published_rows(board_with(RESULT, second))
    assert [result.value for row in rows for result, _ in row['cells'].values()] == [83.9, 83.6]


def test_render_html_published_rows_are_marked_and_not_among_ours(board_with):
    board = board_with(RESULT, make_published(method='beit', protocol=OTHER_RECIPE, value=83.2))
    page = render_html(board)
    own, _, published = page.partition('<tbody class="published-part divider">')
    assert '83.6' not in own[own.index('<tbody data-part="own"') :]
    assert 'data-value="83.6"' in published
    assert '83.2<sup>†' in published
    assert '83.6<sup>' not in published
    assert 'https://github.com/owner/mae/blob/' in published
