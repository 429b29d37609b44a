import csv
import io
import json

import pytest
from rich.console import Console

from mim_bench.cli._board_view import print_leaderboard
from mim_bench.report.board import DASH
from mim_bench.report.formats import render_csv, render_markdown
from mim_bench.report.text import csv_text, markdown_text, one_line
from mim_bench.testing.records import (
    make_checkpoint,
    make_pretraining_record,
    make_protocol,
    make_record,
)

HOSTILE = '<img src=x onerror=alert(1)>'


def _terminal(board, width):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_leaderboard(board, console)
    return console.file.getvalue()


def _csv(board):
    return list(csv.DictReader(io.StringIO(render_csv(board))))


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('a\n b', 'a b'),
        ('\x1b[31mred', '\ufffd[31mred'),
        ('ab\u202edc', 'ab\ufffddc'),
        ('größe', 'größe'),
    ],
)
def test_one_line_control_characters_become_visible(text, shown):
    assert one_line(text) == shown


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        (HOSTILE, '&lt;img src=x onerror=alert(1)&gt;'),
        ('a|b', r'a\|b'),
        ('[x](http://y)', r'\[x\](http&#58;//y)'),
        ('bbox_mAP', r'bbox\_mAP'),
        ('&lt;', '&amp;lt;'),
    ],
)
def test_markdown_text_specials_stay_text(text, shown):
    assert markdown_text(text) == shown


@pytest.mark.parametrize('text', ['=HYPERLINK("x")', '+1', '-1', '@x', ' =1', '\t=1'])
def test_csv_text_formula_gets_an_apostrophe(text):
    assert csv_text(text) == "'" + text.strip()


def test_render_markdown_table_holds_numbers_best_failed_and_dash(board_of, lines_of):
    other = make_checkpoint(id='other', method='simmim', sha256='cd' * 32)
    board = board_of(
        make_record(metrics={'knn_top1': 51.26}),
        make_record(metrics={'knn_top1': 49.0}, checkpoint=other),
        make_record('in1k-ft', checkpoint=other, error='loss is nan', cause='error'),
    )
    lines = lines_of(render_markdown(board))
    facts = '28.0 | 256 | ImageNet-1K | 10 | none'
    row = f'| UM-MAE | swin-tiny | swin-tiny.ummae-10e | 1.00 | {facts} | **51.3** | {DASH} |'
    assert row in lines
    assert f'| SimMIM | swin-tiny | other | 2.00 | {facts} | 49.0 | failed |' in lines
    assert '| in1k-ft-other-s0 | in1k-ft | other | error | loss is nan |' in lines


def test_render_markdown_lists_protocols_and_tiers(board_of, lines_of):
    protocol = make_protocol(tier='smoke')
    text = render_markdown(board_of(make_record(protocol=protocol)))
    line = f'| k-NN: top-1 | in1k-knn | in1k-knn | 1 | {protocol.hash} | smoke |'
    assert line in lines_of(text)
    assert 'k-NN top-1 (%) ↑<br>smoke' in text
    assert 'not comparable with published numbers' in text


def test_render_markdown_every_line_of_a_table_has_as_many_cells(board_of):
    hostile = make_checkpoint(id='a|b\n| c |', method='x|y', backbone='\\|')
    text = render_markdown(board_of(make_record(checkpoint=hostile, run_id='r')))
    table = [line for line in text.split('\n\n')[3].splitlines() if line.startswith('|')]
    unescaped = [line.replace('\\\\', '').replace('\\|', '') for line in table]
    assert {line.count('|') for line in unescaped} == {10}


def test_render_csv_gives_unrounded_values_with_protocol_and_run(board_of):
    board = board_of(make_record(metrics={'knn_top1': 51.123456}))
    line, *_ = _csv(board)
    assert line['value'] == '51.123456'
    assert line['runs'] == 'in1k-knn-swin-tiny.ummae-10e-s0'
    assert line['protocol_hash'] == make_protocol().hash
    assert (line['state'], line['tier'], line['seeds']) == ('value', 'full', '0')


def test_render_csv_failed_cell_has_the_error_and_no_value(board_of):
    (line,) = _csv(board_of(make_record(error='loss is nan')))
    assert (line['state'], line['value'], line['error']) == ('failed', '', 'loss is nan')


def test_render_csv_hostile_names_are_no_formula(board_of):
    checkpoint = make_checkpoint(id='=HYPERLINK("http://x")', method='@m', backbone='+b')
    line, *_ = _csv(board_of(make_record(checkpoint=checkpoint, run_id='=1')))
    assert line['checkpoint'] == '\'=HYPERLINK("http://x")'
    assert (line['method'], line['backbone'], line['runs']) == ("'@m", "'+b", "'=1")


@pytest.mark.parametrize('width', [60, 80, 120, 200])
def test_print_leaderboard_any_width_shows_every_number_whole(board_of, width):
    board = board_of(
        make_record('in1k-knn', {'knn_top1': 11.1}),
        make_record('in1k-linear', {'linear_top1': 22.2}),
        make_record('in1k-ft', {'top1': 33.3}),
        make_record('ade20k-upernet', {'mIoU': 44.4}),
        make_record('coco-mask-rcnn', {'bbox_mAP': 55.5, 'segm_mAP': 66.6}),
        make_pretraining_record(),
    )
    text = _terminal(board, width)
    for number in ('11.1', '22.2', '33.3', '44.4', '55.5', '66.6', '120', '512', '60.0'):
        assert number in text
    assert '…' not in text
    assert max(map(len, text.splitlines())) <= width


def test_print_leaderboard_long_names_differ_where_they_are_cut(board_of):
    start, end = 'random_finetune_vit-base_', '_in1k-224px-of-another-group'
    names = [start + middle + end for middle in ('8xb128', '8xb256')] + [f'{start}{"y" * 40}1']
    records = [
        make_record(checkpoint=make_checkpoint(id=name, sha256=f'{at:064x}'), run_id=f'r{at}')
        for at, name in enumerate(names)
    ]
    text = _terminal(board_of(*records), 160)
    assert all(name in text for name in names[:2])  # alike at both ends
    assert f'random_finetune_v…{"y" * 17}1 ' in text


def test_print_leaderboard_names_failed_and_damaged(board_of, tmp_path):
    (tmp_path / 'results' / 'bad').mkdir(parents=True)
    (tmp_path / 'results' / 'bad' / 'record.json').write_text(json.dumps([]))
    text = _terminal(board_of(make_record(error='loss is nan')), 200)
    assert 'failed: in1k-knn-swin-tiny.ummae-10e-s0: loss is nan' in text
    assert 'left out: bad/record.json' in text


def test_print_leaderboard_hostile_name_is_neither_markup_nor_escape(board_of):
    checkpoint = make_checkpoint(id='[red]x[/red]\x1b[2J')
    text = _terminal(board_of(make_record(checkpoint=checkpoint, run_id='r')), 120)
    assert '[red]x[/red]\ufffd[2J' in text
    assert '\x1b' not in text
