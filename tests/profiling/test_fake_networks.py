"""Every config at full size on the GPU that is not there: what mixes devices or waits is named."""

import pytest

from mim_bench.profiling.fake_step import OwnProcess
from mim_bench.testing.config_names import PATHS, load
from mim_bench.testing.fake_networks import network_key, run_config

# Networks of ours that still wait for the GPU, by what a config's name begins with. Each is to
# run as the others do; then its line goes, at last the list.
WAITING = (
    'conmim_vit',
    'localmim_pixel',
    'localmim_swin',
    'localmim_vit',
    'symmim_swin',
    'symmim_vit',
    'ummae_vit',
)
# In the default suite: one of each way to mask, to attend, to pool and to predict.
FAST = (
    'mae_vit-base_8xb512-amp-coslr-300e',
    'ummae_swin-tiny',
    'conmim_vit-small',
    'localmim_swin-base_8xb256-amp-coslr-100e',
    'finetune_vit-base_8xb128-amp-mae',
    'upernet_beit-vit-base_8xb2-amp-common',
)


def _params():
    """All configs in both precisions; most of them slow, together."""
    params = []
    for path in PATHS:
        if path.parent.name == 'demo':
            continue
        for precision in ('fp16', 'bf16'):
            is_fast = path.stem.startswith(FAST) and precision == 'fp16'
            marks = [] if is_fast else [pytest.mark.slow]
            if path.stem.startswith(WAITING):
                marks.append(pytest.mark.xfail(strict=False, reason='waits for the GPU'))
            params.append(pytest.param(path, precision, id=f'{path.stem}-{precision}', marks=marks))
    return params


@pytest.fixture(scope='module')
def run():
    """Runs a config, or remembers what a config of the same network gave."""
    found = {}
    with OwnProcess() as process:

        def run(path, precision):
            key = network_key(path), precision
            if key not in found:
                found[key] = process.call(run_config, str(path), precision)
            return found[key]

        yield run


@pytest.mark.parametrize(('path', 'precision'), _params())
def test_config_at_full_size_mixes_no_devices_and_waits_where_it_is_known(run, path, precision):
    found = run(path, precision)
    if not load(path).get('find_unused_parameters'):
        assert found['without_gradient'] == []
    if 'detection' not in path.parts and 'probe_' not in path.stem:
        assert found['loss'] == 'torch.float32'
    waits = {place.split('/')[0] for place in found['waits']}
    assert waits <= {'mmpretrain', 'mmseg', 'mmdet', 'mim_bench'}
    assert ('mim_bench' in waits) <= ('detection' in path.parts)
