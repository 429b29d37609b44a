import argparse
import subprocess
import sys

import pytest

from mim_bench.cli import doctor, report
from mim_bench.cli.main import build_parser, command_names, main
from mim_bench.errors import DataError, RecordError
from mim_bench.testing.commands import mim_bench

WRONG_USE = [
    [],
    ['no-such-command'],
    ['train'],
    ['convert', 'only-one.pth'],
    ['data'],
    ['data', 'check', 'cifar', 'x'],
    ['report', 'results'],
    ['train', 'x.py', '--seed', 'one'],
    ['doctor', '--no-such-option'],
]


@pytest.mark.parametrize('name', command_names())
def test_help_of_every_command_has_an_example(name, capsys):
    with pytest.raises(SystemExit, match='0'):
        main([name, '--help'])
    printed = capsys.readouterr().out
    assert 'Example' in printed
    assert f'  mim-bench {name} ' in printed or f'  mim-bench {name}\n' in printed
    assert '--debug' in printed


def options_of(parser, command=()):
    """(words of the command, option) of a parser and of all below it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from options_of(child, (*command, name))
        elif action.help != argparse.SUPPRESS and action.dest != 'help':
            yield ' '.join([*command, *(action.option_strings or [action.dest])]), action


def test_help_of_every_option_is_a_sentence():
    helps = {name: action.help or '' for name, action in options_of(build_parser())}
    assert not {n: h for n, h in helps.items() if not (h[:1].isupper() and h.endswith('.'))}


def test_option_of_several_words_that_is_given_twice_keeps_both():
    lists = {name: a for name, a in options_of(build_parser()) if a.nargs == '+' and '--' in name}
    assert 'run --checkpoint' in lists
    dropped = [name for name, action in lists.items() if type(action) is argparse._StoreAction]
    assert dropped == []
    words = ['--cfg-options', 'a=1', '--cfg-options', 'b=2', 'c=3']
    assert build_parser().parse_args(['train', 'x.py', *words]).cfg_options == ['a=1', 'b=2', 'c=3']


def test_help_lists_every_command_with_one_line(capsys):
    with pytest.raises(SystemExit, match='0'):
        main(['--help'])
    printed = capsys.readouterr().out
    for name in command_names():
        assert f'  {name} ' in printed or f'  {name}\n' in printed  # a long one stands alone


@pytest.mark.parametrize('words', WRONG_USE, ids=' '.join)
def test_wrong_use_exits_two_and_says_why(words, capsys):
    with pytest.raises(SystemExit, match='2'):
        main(words)
    printed = capsys.readouterr()
    assert 'usage: mim-bench' in printed.err
    assert printed.out == ''


def test_user_error_is_one_message_and_status_one():
    done = mim_bench('report', 'nowhere', '--out', 'never')
    assert done.returncode == 1
    assert done.stderr == (
        'error: nowhere: no such folder of results. Give the folder of the records.\n'
    )
    assert done.stdout == ''


def test_user_error_debug_shows_the_traceback():
    with pytest.raises(RecordError, match='no such folder of results'):
        main(['report', 'nowhere', '--out', 'never', '--debug'])


def test_status_of_a_command_is_that_of_the_program(monkeypatch):
    monkeypatch.setattr(doctor, 'run', lambda args: 1)
    assert main(['doctor']) == 1


def test_operating_system_error_is_one_message(monkeypatch, capsys):
    def fail(args):
        raise PermissionError(13, 'Permission denied', 'results')

    monkeypatch.setattr(report, 'run', fail)
    assert main(['report', 'results', '--out', 'x']) == 1
    assert capsys.readouterr().err == "error: [Errno 13] Permission denied: 'results'\n"


def test_message_is_printed_as_it_is(monkeypatch, capsys):
    def fail(args):
        raise DataError("write [bold]x[/], then pip install '.[onedl]'")

    monkeypatch.setattr(report, 'run', fail)
    main(['report', 'results', '--out', 'x'])
    assert capsys.readouterr().err == "error: write [bold]x[/], then pip install '.[onedl]'\n"


def test_programming_error_keeps_its_traceback(monkeypatch):
    def fail(args):
        raise ZeroDivisionError

    monkeypatch.setattr(report, 'run', fail)
    with pytest.raises(ZeroDivisionError):
        main(['report', 'results', '--out', 'x'])


def test_parser_is_built_without_heavy_libraries():
    code = (
        'import sys; from mim_bench.cli.main import build_parser; build_parser(); '
        "sys.exit(str({'torch', 'mmengine', 'numpy'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stderr.strip() == ''
