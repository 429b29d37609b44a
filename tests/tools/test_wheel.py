"""The wheel holds all that the command needs: it runs in an empty folder, without a clone."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = 'configs/demo/finetune_vit-toy_1xb64-coslr-4e_toy-in1k-64px.py'


def succeed(*command, cwd):
    environment = {**os.environ}
    environment.pop('PYTHONPATH', None)  # it may lead to a clone
    words = list(map(str, command))
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def python(tmp_path_factory):
    """Of an environment with the wheel, and with the packages of this one that it depends on."""
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    source.mkdir()
    # Building leaves files behind, so not in the clone.
    for name in ('setup.py', 'setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for name in ('mim_bench', 'configs', 'checkpoints'):
        (source / name).symlink_to(ROOT / name)
    pip = (sys.executable, '-m', 'pip', '--disable-pip-version-check', '--quiet')
    offline = ('--no-deps', '--no-index')
    build = ('wheel', *offline, '--no-build-isolation', '--wheel-dir', folder, source)
    succeed(*pip, *build, cwd=folder)
    venv.create(folder / 'venv')
    python = folder / 'venv' / 'bin' / 'python'
    (wheel,) = folder.glob('*.whl')
    succeed(*pip, '--python', python, 'install', *offline, wheel, cwd=folder)
    (site,) = folder.glob('venv/lib/*/site-packages')
    (site / 'dependencies.pth').write_text(sysconfig.get_path('purelib'))
    return python


def test_package_is_the_wheel_and_has_its_configs(python, tmp_path):
    words = ('list', 'tasks')
    output = succeed(python.parent / 'mim-bench', *words, cwd=tmp_path)
    assert 'ade20k-upernet' in output
    assert output == succeed(python, '-m', 'mim_bench', *words, cwd=tmp_path)

    code = 'import sys, mim_bench.shipped as s; print(s.__file__, s.shipped_config(sys.argv[1]))'
    package, config = map(Path, succeed(python, '-c', code, CONFIG, cwd=tmp_path).split())
    package = package.parent
    assert config.is_file()
    assert package.is_relative_to(python.parents[1])
    for name in ('configs', 'checkpoints'):
        shipped = {
            p.relative_to(package) for p in (package / name).rglob('*.*') if p.suffix != '.pyc'
        }
        wanted = {
            p.relative_to(ROOT)
            for suffix in ('py', 'yml')
            for p in (ROOT / name).rglob(f'*.{suffix}')
        }
        assert wanted <= shipped


@pytest.mark.slow
def test_config_is_named_as_in_a_clone(python, tmp_path):
    output = succeed(python, '-m', 'mim_bench', 'protocol', CONFIG, cwd=tmp_path)
    assert 'in1k-ft: toy-ft, version ' in output
    assert not list(tmp_path.iterdir())
