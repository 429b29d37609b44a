import importlib.util
import logging
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest

from mim_bench.compat import packages


@pytest.fixture
def without_pkg_resources(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        'find_spec',
        lambda name: None if name == 'pkg_resources' else find_spec(name),
    )


@pytest.mark.parametrize('is_needed', [True, False])
def test_mend_replaces_only_code_that_needs_pkg_resources(
    tmp_path, without_pkg_resources, is_needed
):
    source = tmp_path / 'package_utils.py'
    source.write_text('import pkg_resources' if is_needed else 'import importlib.metadata')
    module = SimpleNamespace(__file__=str(source), is_installed=None)
    packages.mend(module)
    assert module.is_installed is (packages.is_installed if is_needed else None)


def test_is_installed_knows_distributions_and_modules():
    assert packages.is_installed('scikit-learn')
    assert packages.is_installed('sklearn')
    assert not packages.is_installed('no_such_package')


def test_get_installed_path_is_the_folder_of_the_module():
    import sklearn

    assert packages.get_installed_path('sklearn') == sklearn.__path__[0]
    with pytest.raises(PackageNotFoundError, match='no_such_package'):
        packages.get_installed_path('no_such_package')


def test_package2module_reads_the_metadata(tmp_path, monkeypatch):
    info = tmp_path / 'some_package-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: some-package\nVersion: 1.0\n')
    (info / 'top_level.txt').write_text('some_module\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert packages.package2module('some-package') == 'some_module'


@pytest.mark.parametrize(('version', 'kept'), [('4.57.6', True), ('5.24.0', False), (None, True)])
def test_multimodal_models_are_left_out_with_transformers_5(version, kept, monkeypatch):
    def version_of(name):
        if version is None:
            raise PackageNotFoundError(name)
        return version

    monkeypatch.setattr(packages.metadata, 'version', version_of)
    module = SimpleNamespace(WITH_MULTIMODAL=True)
    packages.mend_multimodal(module)
    assert module.WITH_MULTIMODAL is kept


@pytest.mark.parametrize(('level', 'shown'), [(logging.DEBUG, ''), (logging.INFO, 'text\n')])
def test_lines_for_debugging_are_not_printed_at_an_import(level, shown, capsys):
    module = SimpleNamespace(print_log=lambda msg, logger, level: print(msg))
    packages.mend_print_log(module)
    module.print_log('text', level=level)
    assert capsys.readouterr().out == shown
