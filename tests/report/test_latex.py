import re

import pytest

from mim_bench.report import formats
from mim_bench.report.board import DASH
from mim_bench.report.formats import render_latex
from mim_bench.report.text import latex_text
from mim_bench.testing.records import (
    make_checkpoint,
    make_protocol,
    make_record,
)

HOSTILE = r'<img src=x onerror=alert(1)> \input{/etc/passwd} $x^2$ 100% #1 a_b & ~ {'


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('50 % & more_of #it', r'50 \% \& more\_of \#it'),
        (r'\input{x}', r'\textbackslash{}input\{x\}'),
        ('$a^2$ ~', r'\$a\textasciicircum{}2\$ \textasciitilde{}'),
        ('größe ≈ 1 ↑', r'größe $\approx$ 1 $\uparrow$'),
        ('a\nb\x1b', 'a b?'),
        ("models--a, <<x>> ``y''", "models-{}-a, <{}<x>{}> `{}`y'{}'"),
    ],
)
def test_latex_text_specials_stay_text(text, shown):
    assert latex_text(text) == shown


def environments(text):
    """The begins and ends of a text; refuses those that do not close in order."""
    opened = []
    for kind, name in re.findall(r'\\(begin|end)\{([\w*]+)\}', text):
        if kind == 'begin':
            opened.append(name)
        else:
            assert opened.pop() == name
    return opened


def rows_of(text):
    """The cells of the lines of all tables, split at the signs that are not escaped."""
    return [re.split(r'(?<!\\)&', line) for line in text.splitlines() if line.endswith(r' \\')]


def test_render_latex_table_holds_numbers_best_failed_and_protocol(board_of):
    other = make_checkpoint(id='other', method='simmim', sha256='cd' * 32)
    text = render_latex(
        board_of(
            make_record(metrics={'knn_top1': 51.26}),
            make_record(metrics={'knn_top1': 49.0}, checkpoint=other),
            make_record('in1k-ft', checkpoint=other, error='loss is nan'),
        )
    )
    lines = text.splitlines()
    assert rf'UM-MAE & swin-tiny & swin-tiny.ummae-10e & \textbf{{51.3}} & {DASH} \\' in lines
    assert r'SimMIM & swin-tiny & other & 49.0 & failed \\' in lines
    assert f'k-NN: protocol in1k-knn version 1, hash {make_protocol().hash}.' in text
    assert r'\cmidrule(lr){4-4} \cmidrule(lr){5-5}' in lines


def test_render_latex_hostile_names_stay_text(board_of):
    checkpoint = make_checkpoint(id=HOSTILE, method=HOSTILE, backbone=HOSTILE)
    protocol = make_protocol(HOSTILE)
    record = make_record(checkpoint=checkpoint, protocol=protocol, run_id='r')
    text = render_latex(board_of(record))
    body = text[text.index(r'\begin{table*}') :]
    assert environments(body) == []
    assert r'\input{' not in body
    for sign in '#%~^':
        assert not re.search(rf'(?<!\\){re.escape(sign)}', body), sign
    unescaped = re.sub(r'\\[{}]', '', body)
    assert unescaped.count('{') == unescaped.count('}')
    assert {len(row) for row in rows_of(body)} == {2, 4}  # with 3 columns joined above


def test_render_latex_more_rows_than_a_page_are_counted(board_of, monkeypatch):
    monkeypatch.setattr(formats, 'MOST_ROWS', 2)
    records = [
        make_record(checkpoint=make_checkpoint(id=f'c{i}'), run_id=f'r{i}') for i in range(5)
    ]
    text = render_latex(board_of(*records))
    assert '3 further checkpoints in leaderboard.csv' in text
    assert len(rows_of(text)) == 2 + 2
