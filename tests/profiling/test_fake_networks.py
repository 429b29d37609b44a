"""Every config at full size on the GPU that is not there: what mixes devices or waits is named."""

import time

import pytest

from mim_bench.testing.config_names import PATHS, has_schedule
from mim_bench.testing.fake_networks import network_key, run_config

# In the default suite: one of each way to mask, to attend, to pool and to predict; MAE is in
# test_estimate.py.
FAST = (
    'ummae_swin-tiny',
    'conmim_vit-small',
    'localmim_vit-base_8xb256-amp-coslr-100e',
    'finetune_vit-base_8xb128-amp-mae',
    'upernet_beit-vit-base_8xb2-amp-common',
)
FULL = [p for p in PATHS if p.parent.name != 'demo']


def check(path, found):
    """What one precision of a config gave."""
    assert found['without_gradient'] == []
    if has_schedule(path):
        assert found['loss'] == 'torch.float32'
    waits = {place.split('/')[0] for place, _ in found['waits']}
    assert waits <= {'mmpretrain', 'mmdet', 'mmseg', 'mmcv', 'mim_bench'}
    # Of this package only the operators of detection wait.
    assert ('mim_bench' in waits) <= ('detection' in path.parts)


@pytest.fixture(scope='module')
def run(process):
    """Runs a config, or remembers what a config of the same network gave; its time is printed."""
    found = {}

    def run(path, precisions):
        key = network_key(path), precisions
        if key not in found:
            started = time.perf_counter()
            found[key] = process.call(run_config, str(path), precisions)
            print(f'{path.stem}: {time.perf_counter() - started:.1f} s')
        return found[key]

    return run


@pytest.mark.parametrize(
    'path', [p for p in FULL if p.stem.startswith(FAST)], ids=lambda path: path.stem
)
def test_network_at_full_size_mixes_no_devices_and_waits_where_it_is_known(run, path):
    check(path, run(path, ('fp16',))['fp16'])


@pytest.mark.slow
@pytest.mark.parametrize('path', FULL, ids=lambda path: path.stem)
def test_every_network_in_both_precisions(run, path):
    for found in run(path, ('fp16', 'bf16')).values():
        check(path, found)
