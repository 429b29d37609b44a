import pytest

from mim_bench.compat.stack import describe_stack
from mim_bench.errors import StackError


@pytest.fixture
def described(tmp_path, monkeypatch):
    """The stack of installed packages; call it with names and versions."""

    def describe(**versions):
        for name, version in versions.items():
            info = tmp_path / f'{name}-{version}.dist-info'
            info.mkdir()
            package = name.replace('_', '-')
            (info / 'METADATA').write_text(
                f'Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n'
            )
        with monkeypatch.context() as patch:
            patch.setattr('sys.path', [str(tmp_path)])
            return describe_stack()

    return describe


def test_describe_stack_onedl(described):
    stack = described(onedl_mmengine='0.10.12', onedl_mmcv='2.3.6')
    assert stack.distribution == 'onedl'
    assert [(x.import_name, x.version) for x in stack.libraries] == [
        ('mmengine', '0.10.12'),
        ('mmcv', '2.3.6'),
    ]


def test_describe_stack_original(described):
    stack = described(mmengine='0.10.7', mmcv_lite='2.1.0', mmsegmentation='1.2.2')
    assert stack.distribution == 'openmmlab'
    assert [x.package for x in stack.libraries] == ['mmengine', 'mmcv-lite', 'mmsegmentation']


def test_describe_stack_nothing_installed(described):
    stack = described()
    assert stack.distribution == 'none'
    assert stack.libraries == ()


def test_describe_stack_different_libraries_of_both_is_no_error(described):
    assert described(onedl_mmengine='0.10.12', mmdet='3.3.0').distribution == ('onedl+openmmlab')


def test_describe_stack_same_library_of_both_raises_with_the_mend(described):
    with pytest.raises(
        StackError, match=r'mmcv: installed more than once.*pip uninstall -y onedl-mmcv mmcv'
    ) as caught:
        described(onedl_mmcv='2.3.6', mmcv='2.2.0', mmengine='0.10.7')
    assert 'mmengine' not in str(caught.value)


def test_describe_stack_lite_beside_full_raises(described):
    with pytest.raises(StackError, match=r'mmcv 2\.1\.0, mmcv-lite 2\.1\.0'):
        described(mmcv='2.1.0', mmcv_lite='2.1.0')
