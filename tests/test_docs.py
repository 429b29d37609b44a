"""Holds the documentation to the program: commands parse, files and links exist, lists agree."""

import contextlib
import functools
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mim_bench.cli.main import build_parser, command_names
from mim_bench.data.toy.spec import SIZES
from mim_bench.published.numbers import load_published
from mim_bench.testing.config_names import for_every
from mim_bench.testing.pages import PAGES, ROOT, commands, named_files, words_of

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
def classes():
    """The names of the package's classes."""
    sources = (path.read_text('utf-8') for path in (ROOT / 'mim_bench').rglob('*.py'))
    return {name for text in sources for name in re.findall(r'^class (\w+)', text, re.MULTILINE)}


@functools.cache
def prose(page):
    """The text of a page without its fenced blocks."""
    return re.sub(r'^```.*?^```', '', page.read_text('utf-8'), flags=re.DOTALL | re.MULTILINE)


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


def problem_of(line, shown):
    """What is wrong with a command of a page that shows some files; None if nothing is."""
    program, *words = words_of(line)
    for word in words:
        if word.startswith(('configs/', 'tools/', 'requirements/', 'tests/')):
            if not ((ROOT / word).exists() or word in shown or any(ROOT.glob(word))):
                return f'{word} does not exist'
        elif word.endswith('.py') and word not in shown:
            return f'the page does not show {word}'
    if program == 'bash':
        words = command_of(words[0], words[1:])
        program = 'bash' if words is None else 'mim-bench'
    if program != 'mim-bench':
        is_known = program in OTHER_PROGRAMS | {'bash'}
        return None if is_known else f'{program}: teach this test about it'
    with contextlib.redirect_stderr(io.StringIO()) as printed:
        try:
            parser().parse_args(words)
        except SystemExit:
            return printed.getvalue()
    return None


@for_every(PAGES)
def test_commands_parse_and_name_what_exists(page):
    shown = {name for name, _ in named_files(page)}
    found = {line: problem_of(line, shown) for line in commands(page)}
    assert not {line: problem for line, problem in found.items() if problem}


@for_every(PAGES)
def test_links_lead_to_files(page):
    targets = [t.partition('#')[0] for t in LINK.findall(prose(page)) if not re.match(r'\w+:|#', t)]
    assert not [target for target in targets if not (page.parent / target).exists()]


@for_every(PAGES)
def test_paths_commands_and_classes_in_the_text_exist(page):
    named = CODE.findall(prose(page))
    assert not [code for code in named if PATH.fullmatch(code) and not (ROOT / code).exists()]
    assert {code.split()[1] for code in named if code[:10] == 'mim-bench '} <= set(command_names())
    assert set(re.findall(r'`mim_bench\.([A-Z]\w+)`', prose(page))) <= classes()


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
