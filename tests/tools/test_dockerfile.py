"""The Dockerfile installs what the README's section on the wheel installs, and copies what exists.

No test builds the image; ``tests/tools/test_wheel.py`` builds and runs the wheel.
"""

import configparser
import re
import shlex
from pathlib import Path

from mim_bench.testing.pages import commands, words_of

ROOT = Path(__file__).parents[2]


def instructions():
    """The instructions of the Dockerfile as pairs of name and rest, continued lines joined."""
    text = (ROOT / 'docker/Dockerfile').read_text('utf-8').replace('\\\n', ' ')
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith('#')]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def words_of_pip(words):
    """Subcommand, flags and extra of a pip command: what does not depend on the folder."""
    flags = {word for word in words if word in ('--no-deps', '-c')}
    extra = re.search(r'\.whl\)\[(\w+)\]', ' '.join(words))
    return words[1], flags, extra and extra[1]


def test_pip_commands_are_those_of_the_readme():
    runs = [shlex.split(rest) for name, rest in instructions() if name == 'RUN']
    readme = [words_of(line) for line in commands(ROOT / 'README.md') if line.startswith('pip ')]
    assert len(readme) == 2
    assert [words_of_pip(run) for run in runs if run[0] == 'pip'] == [*map(words_of_pip, readme)]


def test_copied_files_exist_and_lie_where_they_are_used():
    (build, source), (stage, wheels, _), (constraints, folder) = (
        rest.split() for name, rest in instructions() if name == 'COPY'
    )
    wheel, install = (shlex.split(r) for n, r in instructions() if n == 'RUN' and r[:3] == 'pip')
    assert build == '.'
    assert wheel[-1] == source
    assert wheel[wheel.index('--wheel-dir') + 1] == wheels
    assert (
        'FROM',
        f'python:3.11-slim-bookworm AS {stage.removeprefix("--from=")}',
    ) in instructions()
    assert (ROOT / constraints).is_file()
    assert install[install.index('-c') + 1] == folder + Path(constraints).name
    assert install[-1].startswith(f'$(echo {wheels}/*.whl)')


def test_command_is_one_that_the_wheel_installs():
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    (entrypoint,) = (rest for name, rest in instructions() if name == 'ENTRYPOINT')
    assert entrypoint == '["mim-bench"]'
    assert 'mim-bench = ' in setup['options.entry_points']['console_scripts']


def test_build_context_leaves_out_what_git_leaves_out():
    ignored = (ROOT / '.dockerignore').read_text().split()
    assert '.git' in ignored
    for line in (ROOT / '.gitignore').read_text().split():
        name = line.strip('/')
        assert line[0] == '!' or name in ignored or f'**/{name}' in ignored
