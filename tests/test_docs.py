"""Holds the documentation to the program: commands parse, files and links exist, lists agree."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mim_bench.cli.main import build_parser, command_names
from mim_bench.data.toy.spec import SIZES
from mim_bench.results.published import load_published
from mim_bench.testing.pages import PAGES, ROOT, commands, name_of, named_files, words_of

LINK = re.compile(r'\]\(([^)\s]+)\)')
CODE = re.compile(r'`([^`\n]+)`')
# A path of this repository in inline code, without a placeholder.
PATH = re.compile(r'(?:mim_bench|configs|tools|tests|docs|requirements)/[\w./-]*')
OTHER_PROGRAMS = {'pip', 'source', 'git', 'cd'}
# Launcher -> the command that its further words go to, and how many words come before them.
LAUNCHERS = {
    'tools/dist_train.sh': ('train', 2),
    'tools/dist_test.sh': ('test', 3),
    'tools/slurm_train.sh': ('train', 4),
}


parser = functools.cache(build_parser)


@functools.cache
def source():
    """The package's."""
    return '\n'.join(path.read_text('utf-8') for path in (ROOT / 'mim_bench').rglob('*.py'))


@functools.cache
def prose(page):
    """The text of a page without its fenced blocks."""
    return re.sub(r'^```.*?^```', '', page.read_text('utf-8'), flags=re.DOTALL | re.MULTILINE)


def command_lines():
    for page in PAGES:
        for line in commands(page):
            yield pytest.param(page, line, id=f'{name_of(page)}: {line}')


def links():
    for page in PAGES:
        for target in LINK.findall(prose(page)):
            if not re.match(r'\w+:|#', target):
                yield pytest.param(page, target.partition('#')[0], id=f'{name_of(page)}: {target}')


def command_of(script, words):
    """The words of ``mim-bench`` that a script of tools/ ends in; None if in none."""
    if script == 'tools/demo.sh':
        return ['demo', *words]
    if script == 'tools/torchrun.sh':
        assert words[0].isdecimal()
        return [Path(words[1]).stem, *words[2:]]
    if script not in LAUNCHERS:
        return None
    command, count = LAUNCHERS[script]
    assert len(words) >= count, f'{script} needs {count} words'
    config = next(word for word in words if word.startswith('configs/'))
    return [command, config, *words[count:]]


@pytest.mark.parametrize(('page', 'line'), list(command_lines()))
def test_command_parses_and_names_what_exists(page, line, capsys):
    program, *words = words_of(line)
    shown = {name for name, _ in named_files(page)}
    for word in words:
        if word.startswith(('configs/', 'tools/', 'requirements/', 'tests/')):
            assert (ROOT / word).exists() or word in shown or any(ROOT.glob(word)), word
        elif word.endswith('.py'):
            assert word in shown, f'{word}: the page does not show this file'
    if program == 'bash':
        words = command_of(words[0], words[1:])
        program = 'bash' if words is None else 'mim-bench'
    if program == 'mim-bench':
        try:
            parser().parse_args(words)
        except SystemExit:
            pytest.fail(capsys.readouterr().err)
    else:
        assert program in OTHER_PROGRAMS | {'bash'}, f'{program}: teach this test about it'


@pytest.mark.parametrize(('page', 'target'), list(links()))
def test_link_leads_to_a_file(page, target):
    assert (page.parent / target).exists()


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_paths_in_the_text_exist(page):
    named = [code for code in CODE.findall(prose(page)) if PATH.fullmatch(code)]
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_commands_in_the_text_exist(page):
    named = {code.split()[1] for code in CODE.findall(prose(page)) if code[:10] == 'mim-bench '}
    assert named <= set(command_names())


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_classes_in_the_text_exist(page):
    named = set(re.findall(r'`mim_bench\.([A-Z]\w+)`', prose(page)))
    assert not [name for name in named if f'\nclass {name}' not in source()]


def test_readme_lists_the_commands_there_are():
    row = next(line for line in prose(ROOT / 'README.md').splitlines() if '| commands |' in line)
    (listed,) = CODE.findall(row.split('|')[2])
    assert set(listed.split()) == set(command_names())


def test_data_page_lists_the_sizes():
    text = (ROOT / 'docs/data.md').read_text('utf-8')
    for name, size in SIZES.items():
        counts = (f'{c.train:,}/{c.val:,}' for c in (size.imagenet, size.ade, size.coco))
        assert f'| `{name}` | {" | ".join(counts)} |' in text


def test_site_builds_strictly(tmp_path):
    pytest.importorskip('material', reason="mkdocs is missing: pip install -e '.[docs]'")
    words = ['build', '--strict', '--quiet', '--site-dir', str(tmp_path)]
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert '--checkpoint' in (tmp_path / 'commands' / 'index.html').read_text('utf-8')
    assert 'pretrain-ummae-200e' in (tmp_path / 'configs' / 'index.html').read_text('utf-8')


def test_readme_counts_the_published_numbers():
    assert f'[{len(load_published())} published ones]' in (ROOT / 'README.md').read_text('utf-8')
