"""The README is followed as a stranger follows it: its own lines, in order, and nothing else.

A fresh copy of the clone, a bare environment, one shell. Sections whose title begins with "With"
need what the title names, as the README says itself, and are left out. The fast test ends where
the section of the set-up does.

What ``tools/setup.sh`` installs is there already, since that takes minutes and a network; so it
finds its work done. ``tests/tools/test_setup.py`` has the script itself.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest

from mim_bench.testing.pages import ROOT

SECTION = re.compile(r'^## (.+?)\n(.*?)(?=^## |\Z)', re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r'^```bash\n(.*?)^```', re.DOTALL | re.MULTILINE)
CLONE = ('README.md', 'LICENSE', 'setup.py', 'setup.cfg', 'pyproject.toml', 'requirements')


def walked_sections():
    """Title and commands of the sections that need nothing but the set-up."""
    sections = SECTION.findall((ROOT / 'README.md').read_text('utf-8'))
    blocks = {title: ''.join(BLOCK.findall(text)) for title, text in sections}
    return {t: lines for t, lines in blocks.items() if lines and not t.startswith('With ')}


@pytest.fixture
def clone(tmp_path):
    """A copy of the clone with the environment that the set-up leaves in it."""
    clone = tmp_path / 'clone'
    for name in ('mim_bench', 'configs', 'tools', 'checkpoints', 'docs', *CLONE):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, clone / name)
        clone.mkdir(exist_ok=True)
    folder = clone / '.venv'
    venv.create(folder)
    (site,) = folder.glob('lib/*/site-packages')
    (site / 'dependencies.pth').write_text(sysconfig.get_path('purelib'))
    pip = (sys.executable, '-m', 'pip', '--disable-pip-version-check', '--quiet')
    options = ('--no-deps', '--no-index', '--no-build-isolation')
    python = ('--python', folder / 'bin' / 'python')
    subprocess.run([*pip, *python, 'install', *options, '-e', clone], check=True)
    stamp = f'source tools/setup.sh && fingerprint {folder}/bin/python onedl'
    with (folder / '.mim-bench-setup').open('w') as file:
        subprocess.run(['bash', '-c', stamp], cwd=clone, stdout=file, check=True)
    return clone


def follow(commands, clone):
    """Run lines of the README in one shell; what they printed."""
    home = clone.parent / 'home'
    home.mkdir()
    # Other tests use the cores too.
    environment = {'PATH': '/usr/bin:/bin', 'HOME': str(home), 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(
        ['/bin/bash', '-ex'],
        input=commands,
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def test_readme_sets_up(clone):
    title, commands = next(iter(walked_sections().items()))
    assert title == 'Set up'
    printed = follow(commands, clone)
    assert f'source {clone}/.venv/bin/activate' in printed
    assert 'torchvision' in printed


@pytest.mark.slow
def test_readme_followed_from_top_to_bottom_leaves_a_board(clone):
    printed = follow(''.join(walked_sections().values()), clone)
    assert 'my-mae' in printed
    assert 'in1k-ft-common' in printed
    for path in ('bench/leaderboard/leaderboard.html', 'masks.png'):
        assert (clone / path).stat().st_size > 10_000
