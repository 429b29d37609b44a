"""``mim-bench report --compare`` and ``--explain``."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from mim_bench.cli._row_tests import (
    check_labels,
    compare_rows,
    explain_rows,
    print_protocols,
    print_tests,
)
from mim_bench.cli.main import main
from mim_bench.errors import RecordError
from mim_bench.files.hashing import protocol_hash
from mim_bench.report.build import build_leaderboard
from mim_bench.results.collection import collect
from mim_bench.results.outcomes import Hits, ImageSet
from mim_bench.results.outcomes_file import write_outcomes
from mim_bench.results.protocol_file import write_protocol
from mim_bench.results.record import Protocol
from mim_bench.results.store import write_record
from mim_bench.testing.records import make_checkpoint, make_record

NUM_IMAGES = 100
IMAGES = ImageSet(NUM_IMAGES, 'ab' * 32)


@pytest.fixture
def add(tmp_path):
    """Write a record; with outcomes and with settings where they are given."""

    def write(name, value, *, right=None, settings=None, task='in1k-ft', tier='full'):
        checkpoint = make_checkpoint(id=name, sha256=f'{len(name):02d}' * 32)
        content = {'task': task, 'settings': settings or {'epochs': 100}}
        record = make_record(
            task,
            {'top1': value},
            checkpoint,
            protocol=Protocol('recipe', '1', protocol_hash(content), tier),
            run_id=f'{task}-{name}-s0',
        )
        folder, artifacts = tmp_path / record.run_id, record.artifacts
        if right is not None:
            write_outcomes(Hits(IMAGES, {'top1': right}), folder)
            artifacts = replace(artifacts, outcomes='outcomes.npz')
        if settings is not None:
            artifacts = replace(artifacts, protocol=write_protocol(content, folder))
        write_record(replace(record, artifacts=artifacts), tmp_path)

    return write


def right(num, offset=0):
    return (np.arange(NUM_IMAGES) + offset) % NUM_IMAGES < num


@pytest.fixture
def rows_of(tmp_path):
    """The board, and these labels of it."""

    def find(*labels):
        board = build_leaderboard(collect(tmp_path), [])
        check_labels(board, labels)
        return board, labels

    return find


def printed(show, *args):
    console = Console(width=160, record=True, file=io.StringIO())
    show(*args, console)
    return console.export_text()


def test_compare_rows_tests_what_both_have_under_one_protocol(add, rows_of):
    a, b = right(80), right(70, offset=5)
    add('one', 80.0, right=a)
    add('two', 70.0, right=b)
    add('one', 50.0, task='in1k-linear')
    (line,) = compare_rows(*rows_of('one', 'two'))
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    wanted = stats.binomtest(only_a, only_a + only_b).pvalue
    assert (line['Metric'], line['A - B']) == ('Fine-tune top-1', '+10.00')
    assert f'McNemar, images: {wanted:.3f}' in line['Tests']


def test_compare_rows_of_the_same_row_twice_differ_in_nothing(add, rows_of):
    add('one', 80.0, right=right(80))
    (line,) = compare_rows(*rows_of('one', 'one'))
    assert (line['A - B'], line['Verdict (p < 0.05)']) == ('+0.00', 'not distinguishable')


def test_print_tests_says_who_is_better(add, rows_of):
    add('one', 80.0, right=right(80))
    add('two', 60.0, right=right(60))
    board, rows = rows_of('two', 'one')
    shown = printed(print_tests, board, rows)
    assert 'A  two' in shown
    assert '-20.0' in shown
    assert 'McNemar, images: < 0.001' in shown
    assert 'B is better' in shown


def test_explain_rows_lists_the_settings_that_differ(add, rows_of):
    add('one', 80.0, settings={'epochs': 100, 'head': {'drop': 0.1}})
    add('two', 60.0, settings={'epochs': 300, 'head': {'drop': 0.1}, 'tta': True})
    ((_, _, differences),) = explain_rows(*rows_of('one', 'two'))
    assert [(d.key, d.first, d.second) for d in differences] == [
        ('settings.epochs', '100', '300'),
        ('settings.tta', None, 'true'),
    ]
    shown = printed(print_protocols, *rows_of('one', 'two'))
    assert 'settings.epochs' in shown
    assert 'drop' not in shown


def test_explain_rows_without_settings_says_so(add, rows_of):
    add('one', 80.0, settings={'epochs': 100})
    add('two', 60.0, task='in1k-ft', tier='smoke')
    add('two', 60.0, task='in1k-linear')
    add('one', 60.0, task='in1k-linear', settings={'epochs': 90})
    found = {task: (names, why) for task, names, why in explain_rows(*rows_of('one', 'two'))}
    # One hash, two tiers.
    (one, other), differences = found['in1k-ft']
    assert one != other
    assert [d.key for d in differences] == ['tier']
    assert 'in1k-linear-two-s0 keeps no settings' in found['in1k-linear'][1]


def test_explain_rows_settings_of_another_protocol_are_refused(add, rows_of, tmp_path):
    add('one', 80.0, settings={'epochs': 100})
    add('two', 60.0, settings={'epochs': 300})
    (tmp_path / 'in1k-ft-two-s0' / 'protocol.json').write_text('{"epochs": 100}')
    ((_, _, why),) = explain_rows(*rows_of('one', 'two'))
    assert 'it is of another protocol' in why


def test_rows_without_a_common_task_have_nothing_to_explain(add, rows_of):
    add('one', 80.0)
    add('two', 60.0, task='in1k-linear')
    board, rows = rows_of('one', 'two')
    assert compare_rows(board, rows) == []
    assert 'no task in common' in printed(print_protocols, board, rows)


def test_find_rows_unknown_label_names_the_near_ones(add, rows_of):
    add('simmim-vit', 80.0)
    with pytest.raises(RecordError, match=r"No row 'simim-vit'.*Did you mean 'simmim-vit'"):
        rows_of('simim-vit')


def test_compare_command_prints_tests_and_settings(add, tmp_path, capsys):
    add('one', 80.0, right=right(80), settings={'epochs': 100})
    add('two', 78.0, right=right(78), settings={'epochs': 100})
    assert main(['report', str(tmp_path), '--compare', 'one', 'two']) == 0
    shown = capsys.readouterr().out
    assert 'not distinguishable' in shown
    assert 'same protocol' in shown


def test_explain_command_prints_settings_alone(add, tmp_path, capsys):
    add('one', 80.0, settings={'epochs': 100})
    add('two', 78.0, settings={'epochs': 300})
    assert main(['report', str(tmp_path), '--explain', 'one', 'two']) == 0
    shown = capsys.readouterr().out
    assert 'settings.epochs' in shown
    assert 'McNemar' not in shown
    assert main(['report', str(tmp_path), '--explain', 'one', 'three']) == 1
    assert "No row 'three'" in capsys.readouterr().err
