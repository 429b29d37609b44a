import pytest

from mim_bench.compat.stack import describe_stack
from mim_bench.errors import StackError


@pytest.fixture
def site(tmp_path):
    """A folder of installed packages; call it with names and versions."""

    def install(**versions):
        for name, version in versions.items():
            info = tmp_path / f'{name}-{version}.dist-info'
            info.mkdir()
            package = name.replace('_', '-')
            (info / 'METADATA').write_text(
                f'Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n'
            )
        return [str(tmp_path)]

    return install


def test_describe_stack_onedl(site):
    stack = describe_stack(site(onedl_mmengine='0.10.12', onedl_mmcv='2.3.6'))
    assert stack.distribution == 'onedl'
    assert [(x.import_name, x.version) for x in stack.libraries] == [
        ('mmengine', '0.10.12'),
        ('mmcv', '2.3.6'),
    ]


def test_describe_stack_original(site):
    stack = describe_stack(site(mmengine='0.10.7', mmcv_lite='2.1.0', mmsegmentation='1.2.2'))
    assert stack.distribution == 'openmmlab'
    assert [x.package for x in stack.libraries] == ['mmengine', 'mmcv-lite', 'mmsegmentation']


def test_describe_stack_nothing_installed(site):
    stack = describe_stack(site())
    assert stack.distribution == 'none'
    assert stack.libraries == ()


def test_describe_stack_different_libraries_of_both_is_no_error(site):
    assert describe_stack(site(onedl_mmengine='0.10.12', mmdet='3.3.0')).distribution == (
        'onedl+openmmlab'
    )


def test_describe_stack_same_library_of_both_raises_with_the_mend(site):
    path = site(onedl_mmcv='2.3.6', mmcv='2.2.0', mmengine='0.10.7')
    with pytest.raises(
        StackError, match=r'mmcv: installed more than once.*pip uninstall -y onedl-mmcv mmcv'
    ) as caught:
        describe_stack(path)
    assert 'mmengine' not in str(caught.value)


def test_describe_stack_lite_beside_full_raises(site):
    with pytest.raises(StackError, match=r'mmcv 2\.1\.0, mmcv-lite 2\.1\.0'):
        describe_stack(site(mmcv='2.1.0', mmcv_lite='2.1.0'))
