import sys

import pytest

from mim_bench.compat import diagnosis
from mim_bench.compat.stack import Library, Stack
from mim_bench.errors import StackError

LIBRARIES = {
    'onedl': Library('mmengine', 'onedl-mmengine', '0.10.12', 'onedl'),
    'openmmlab': Library('mmengine', 'mmengine', '0.10.7', 'openmmlab'),
}


@pytest.fixture
def stack_of(monkeypatch):
    """Let the diagnosis see these libraries, and let every import succeed."""

    def pretend(*libraries):
        monkeypatch.setattr(diagnosis, 'describe_stack', lambda: Stack(libraries))
        monkeypatch.setattr(
            diagnosis, '_module', lambda name, module, mend: diagnosis.Finding(name, '1.0')
        )
        return {finding.name: finding for finding in diagnosis.diagnose()}

    return pretend


@pytest.mark.parametrize('extra', ['onedl', 'openmmlab'])
def test_diagnose_missing_library_is_mended_from_the_same_distribution(stack_of, extra):
    findings = stack_of(LIBRARIES[extra])
    assert findings['mmengine'].is_ok
    assert findings['mmengine'].found == f'{LIBRARIES[extra].package} {LIBRARIES[extra].version}'
    assert not findings['mmdet'].is_ok
    assert findings['mmdet'].mend == (
        f"pip install -c requirements/constraints.txt -e '.[{extra}]'"
    )


def test_diagnose_both_distributions_side_by_side_is_a_note(stack_of):
    finding = stack_of(LIBRARIES['onedl'], Library('mmdet', 'mmdet', '3.3.0', 'openmmlab'))
    assert finding['OpenMMLab'].found == 'onedl+openmmlab'
    assert finding['OpenMMLab'].is_ok
    assert 'not tested' in finding['OpenMMLab'].mend


def test_diagnose_mixed_install_fails_with_the_mend(monkeypatch):
    def raise_mixture():
        raise StackError('mmcv: installed more than once')

    monkeypatch.setattr(diagnosis, 'describe_stack', raise_mixture)
    finding = diagnosis.diagnose()[-1]
    assert not finding.is_ok
    assert finding.mend == 'mmcv: installed more than once'


def test_diagnose_old_python_fails(monkeypatch, stack_of):
    monkeypatch.setattr(sys, 'version_info', (3, 9, 0))
    assert stack_of()['Python'].mend == 'use Python 3.10 to 3.13'


def test_module_that_does_not_load_fails_with_the_reason(tmp_path, monkeypatch):
    (tmp_path / 'broken_binary.py').write_text("raise ImportError('libGL.so.1: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    finding = diagnosis._module('OpenCV', 'broken_binary', 'pip install headless')
    assert (finding.found, finding.is_ok) == ('does not load', False)
    assert finding.mend == 'pip install headless  (ImportError: libGL.so.1: no such file)'


def test_module_that_is_absent_fails():
    assert diagnosis._module('x', 'no_such_package', 'line').found == 'not installed'
