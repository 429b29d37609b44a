import importlib
import json
import subprocess
import sys

import pytest

from mim_bench import compat
from mim_bench.compat import import_hooks
from mim_bench.compat.import_hooks import ExtensionFinder, MendingFinder
from mim_bench.compat.operators import operator_sources
from mim_bench.errors import OperatorUnavailableError

REQUEST = (
    "from ..utils import ext_loader\next_loader.load_ext('_ext', ['nms', 'box_iou_rotated'])\n"
)


@pytest.fixture
def fake_mmcv(tmp_path):
    """A folder with a package mmcv that asks for two operators and has no _ext."""
    package = tmp_path / 'mmcv'
    (package / 'ops').mkdir(parents=True)
    (package / '__init__.py').touch()
    (package / 'ops' / 'boxes.py').write_text(REQUEST)
    return package


def run_python(code, folder):
    """The words that a fresh interpreter prints, with a folder first on its path."""
    code = f'import sys; sys.path.insert(0, {str(folder)!r}); {code}'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_import_mim_bench_imports_no_heavy_library(tmp_path):
    code = (
        'import mim_bench; print(*(m for m in ("torch", "mmengine", "numpy") if m in sys.modules))'
    )
    assert run_python(code, tmp_path) == []


def test_extension_compiled_takes_precedence(fake_mmcv):
    (fake_mmcv / '_ext.py').write_text("nms = 'compiled'")
    code = 'import mim_bench, mmcv._ext; print(mmcv._ext.nms)'
    assert run_python(code, fake_mmcv.parent) == ['compiled']


def test_install_twice_adds_no_finder():
    before = list(sys.meta_path)
    compat.install()
    assert sys.meta_path == before
    assert sum(isinstance(finder, ExtensionFinder) for finder in before) == 1
    assert isinstance(next(f for f in before if 'mim_bench' in type(f).__module__), MendingFinder)


def test_install_mends_what_is_imported_already(monkeypatch):
    finders = [finder for finder in sys.meta_path if 'mim_bench' not in type(finder).__module__]
    mended = []
    monkeypatch.setattr(sys, 'meta_path', finders)
    monkeypatch.setattr(import_hooks, '_MENDS', {'json': 'any', 'absent': 'any'})
    monkeypatch.setattr(import_hooks, '_resolve', lambda reference: mended.append)
    compat.install()
    assert mended == [json]


@pytest.mark.slow
@pytest.mark.stack
def test_install_after_mmengine_mends_it_and_supplies_the_extension(fake_mmcv):
    code = (
        'import mmengine.runner.checkpoint as c; before = c._load_checkpoint; '
        'import mim_bench, mmcv._ext; '
        'print(c._load_checkpoint.__wrapped__ is before, mmcv._ext.__spec__.origin)'
    )
    assert run_python(code, fake_mmcv.parent) == ['True', 'mim_bench.compat']


def test_mended_module_keeps_its_own_loader():
    module = importlib.import_module('mmengine.runner.checkpoint')
    assert type(module.__spec__.loader).__name__ == 'SourceFileLoader'


def test_missing_operator_raises_when_called():
    extension = importlib.import_module('mmcv._ext')
    assert hasattr(extension, 'box_iou_rotated')
    with pytest.raises(
        OperatorUnavailableError, match=r"'box_iou_rotated'.*compile mmcv: 'pip install"
    ):
        extension.box_iou_rotated(1, 2)


@pytest.mark.parametrize(
    ('has_compiled', 'expected'),
    [
        (False, {'box_iou_rotated': 'missing', 'nms': 'torchvision'}),
        (True, {'box_iou_rotated': 'compiled', 'nms': 'compiled'}),
    ],
)
def test_operator_sources_of_a_fake_mmcv(fake_mmcv, monkeypatch, has_compiled, expected):
    if has_compiled:
        (fake_mmcv / '_ext.py').touch()
    monkeypatch.setattr(sys, 'path', [str(fake_mmcv.parent)])
    assert operator_sources() == expected


def test_operator_sources_without_mmcv_is_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    assert operator_sources() == {}
