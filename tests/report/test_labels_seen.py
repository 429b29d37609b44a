"""The mark of results whose backbone saw labels of the task, in every form of the board."""

import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from mim_bench.cli._board_view import print_leaderboard
from mim_bench.report.board import DASH, FACTS, fact_text
from mim_bench.report.build import build_leaderboard
from mim_bench.report.formats import render_csv, render_latex, render_markdown
from mim_bench.report.page import render_html
from mim_bench.results.collection import Collection
from mim_bench.testing.records import make_checkpoint, make_record

NONE = make_checkpoint(id='pretrained', sha256='1' * 64)
SEEN = make_checkpoint(id='finetuned', sha256='2' * 64, labels=['in22k', 'ade20k'])
UNKNOWN = make_checkpoint(
    id='foreign', sha256='3' * 64, labels=None, pretrain_data=None, licence=None
)
TITLE = 'backbone saw labels of ImageNet-22K'


def collection(*checkpoints, task='in1k-knn', metric='knn_top1'):
    records = [
        make_record(task, {metric: 50.0 + at}, checkpoint)
        for at, checkpoint in enumerate(checkpoints)
    ]
    return Collection(records=records)


def board(*checkpoints, **task):
    return build_leaderboard(collection(*checkpoints, **task), [])


def text_of(found, render):
    if render is render_html:
        return render_html(found)
    if render is print_leaderboard:
        console = Console(width=160, record=True, file=io.StringIO())
        print_leaderboard(found, console)
        return console.export_text()
    return render(found)


FORMS = {
    render_html: ('‡', 'title="not known whether'),
    render_markdown: ('52.0 ‡', '51.0 ?'),
    print_leaderboard: ('52.0 ‡', '51.0 ?'),
    render_latex: (r'\textsuperscript{‡}', r'51.0\textsuperscript{?}'),
}


@pytest.mark.parametrize('render', FORMS, ids=lambda render: render.__name__)
def test_every_form_marks_labels_seen_and_labels_unknown(render):
    text = text_of(board(NONE, UNKNOWN, SEEN), render).replace('**', '')
    for mark in FORMS[render]:
        assert mark in text
    assert 'saw labels of the task' in text.replace('&#39;', "'")


@pytest.mark.parametrize('render', FORMS, ids=lambda render: render.__name__)
def test_no_form_marks_a_backbone_that_saw_none(render):
    text = text_of(board(NONE), render)
    assert '‡' not in text
    assert 'saw labels' not in text


def test_labels_of_another_data_set_are_not_marked():
    found = board(SEEN, task='coco-gfl', metric='bbox_mAP')
    assert '‡' not in render_markdown(found)
    assert '‡' in render_markdown(board(SEEN, task='ade20k-upernet', metric='mIoU'))


def test_results_have_the_facts_of_each_checkpoint():
    random = replace(UNKNOWN, id='random', method='random', sha256=None)
    rows = board(NONE, UNKNOWN, SEEN, random).rows.to_dict('index')
    found = {label: [fact_text(row, name) for name in FACTS] for label, row in rows.items()}
    assert found == {
        'pretrained': ['28.0', '256', 'ImageNet-1K', '10', 'none'],
        'finetuned': ['28.0', '256', 'ImageNet-1K', '10', 'ImageNet-22K, ADE20K'],
        'foreign': ['28.0', '256', '?', '10', '?'],
        'random': ['28.0', *(DASH,) * 4],
    }


def test_csv_has_the_facts_of_the_checkpoint_and_the_mark():
    lines = csv.DictReader(io.StringIO(render_csv(board(NONE, UNKNOWN, SEEN))))
    found = {
        line['checkpoint']: [line[k] for k in ('labels', 'saw_labels', 'note', 'params', 'licence')]
        for line in lines
        if line['metric'] == 'knn_top1'
    }
    assert found['pretrained'] == ['none', 'False', '', '28000000', 'Apache-2.0']
    assert found['finetuned'] == ['in22k+ade20k', 'True', TITLE, '28000000', 'Apache-2.0']
    assert found['foreign'][:2] == ['', 'unknown']
    assert found['foreign'][4] == ''
