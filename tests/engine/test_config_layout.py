"""Several processes import yapf for the first time at once."""

import subprocess
import sys

CODE = 'from mim_bench.engine.config_layout import import_layout; import_layout()'


def test_import_layout_beside_others_with_an_empty_cache_succeeds(tmp_path):
    environment = {'XDG_CACHE_HOME': str(tmp_path), 'HOME': str(tmp_path), 'PATH': ''}
    runs = [
        subprocess.Popen([sys.executable, '-c', CODE], env=environment, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    errors = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, errors
    assert list(tmp_path.rglob('Grammar*.pickle'))
