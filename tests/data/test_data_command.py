import json

import pytest

from mim_bench.cli import data
from mim_bench.cli.main import main
from mim_bench.data.checks import CHECKS
from mim_bench.data.toy import SIZES
from mim_bench.errors import DataError


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')


def test_make_toy_command_writes_and_says_what(tmp_path, capsys):
    status = main(['data', 'make-toy', str(tmp_path / 'toy'), '--size', 'tiny'])

    assert status == 0
    assert 'imagenet 40/20, ade 8/4, coco 8/4' in capsys.readouterr().out
    assert (tmp_path / 'toy/toy.json').exists()


@pytest.mark.parametrize('dataset', ['imagenet', 'ade20k', 'coco'])
def test_check_command_embedded_dataset_exits_zero(toy_root, dataset, capsys):
    assert main(['data', 'check', dataset, str(toy_root)]) == 0
    out = capsys.readouterr().out
    assert 'train images' in out
    assert out.rstrip().endswith('ok')


def test_check_command_problems_exit_one_and_are_all_printed(toy_copy, tmp_path, capsys):
    names = [f'train/n00000003/n00000003_{number}.JPEG' for number in (1, 2, 3)]
    for name in names:
        (toy_copy / 'imagenet' / name).write_bytes(b'')
    target = tmp_path / 'report.json'

    status = main(['data', 'check', 'imagenet', str(toy_copy), '--json', str(target)])

    assert status == 1
    out = capsys.readouterr().out
    assert all(name in out for name in names)
    assert '3 problems' in out
    report = json.loads(target.read_text())
    assert not report['ok']
    assert [problem['path'] for problem in report['problems']] == names


def test_check_command_expect_option_is_used(toy_root, capsys):
    arguments = ['check', 'coco', str(toy_root), '--quick', '--expect', 'train=9,val=4']

    assert main(['data', *arguments]) == 1
    assert 'train2017 holds 8 images, expected 9' in capsys.readouterr().out


def test_data_command_choices_are_those_of_the_library():
    assert set(data._SIZES) == set(SIZES)
    assert set(data._DATASETS) == set(CHECKS)


@pytest.mark.parametrize('words', [['--debug', 'make-toy'], ['make-toy', '--debug']])
def test_data_command_debug_works_before_and_after_the_action(tmp_path, words):
    (tmp_path / 'file').touch()

    with pytest.raises(DataError, match='is a file'):
        main(['data', *words, str(tmp_path / 'file')])
