import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / 'tools' / 'setup.sh'

# A Python whose pip only writes down what it was asked for. OpenCV loads once
# the headless build was installed, or at once if the file has_libgl exists.
PYTHON = f"""#!/usr/bin/env bash
here="$(dirname "$0")"
case "$*" in
    '-m pip show --quiet mmengine') [[ -e "$here/has_original" ]] ;;
    '-m pip '*) echo "$*" >> "$here/pip.log" ;;
    '-c import cv2') [[ -e "$here/has_libgl" ]] || grep -q opencv-python-headless "$here/pip.log" ;;
    *) exec {sys.executable} "$@" ;;
esac
"""


class Environment:
    """A virtual environment that installs nothing."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = folder / 'bin'
        self.bin.mkdir(parents=True)
        (self.bin / 'python').write_text(PYTHON)
        (self.bin / 'python').chmod(0o755)
        (self.bin / 'has_libgl').touch()

    def set_up(self, *words):
        folder = str(self.folder)
        environment = {'PATH': '/usr/bin:/bin', 'HOME': folder, 'VIRTUAL_ENV': folder}
        command = ['bash', str(SETUP), *words]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    @property
    def installed(self):
        log = self.bin / 'pip.log'
        return [line.split()[-1] for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def environment(tmp_path):
    return Environment(tmp_path / 'venv')


def test_set_up_installs_the_tested_versions_once(environment):
    first, second = environment.set_up(), environment.set_up()
    assert first.returncode == second.returncode == 0, first.stderr
    assert environment.installed == ['.[onedl,fast]']
    assert '-c requirements/constraints.txt' in (environment.bin / 'pip.log').read_text()
    assert second.stdout.startswith('Ready: source ')


def test_set_up_adds_what_the_tests_need_once(environment):
    environment.set_up()
    environment.set_up('--test')
    environment.set_up()
    assert environment.installed == ['.[onedl,fast]', '.[onedl,fast,test]']


def test_set_up_changed_extra_installs_again(environment):
    environment.set_up()
    environment.set_up('openmmlab')
    assert environment.installed == ['.[onedl,fast]', '.[openmmlab,fast]']


def test_set_up_named_folder_leaves_the_active_environment_alone(environment, tmp_path):
    other = Environment(tmp_path / 'other')
    assert environment.set_up('openmmlab', str(other.folder)).returncode == 0
    assert (environment.installed, other.installed) == ([], ['.[openmmlab,fast]'])


def test_set_up_keeps_the_original_distribution_where_it_is(environment):
    (environment.bin / 'has_original').touch()
    environment.set_up()
    assert environment.installed == ['.[openmmlab,fast]']


def test_set_up_without_libgl_installs_headless_opencv(environment):
    (environment.bin / 'has_libgl').unlink()
    assert environment.set_up().returncode == 0
    assert environment.installed == ['.[onedl,fast]', 'opencv-python-headless']


def test_set_up_no_fitting_python_is_one_message(environment, tmp_path):
    # Only bash's own commands are on the PATH that remains.
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'dirname').symlink_to('/usr/bin/dirname')
    done = subprocess.run(
        ['/bin/bash', str(SETUP), 'onedl', str(tmp_path / 'new')],
        capture_output=True,
        text=True,
        env={'PATH': str(tmp_path / 'bin')},
    )
    assert done.returncode == 1
    assert done.stderr.startswith('error: no Python 3.10 to 3.13 found.')
