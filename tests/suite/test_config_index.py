import subprocess
import sys

import pytest
from mmengine.config import Config

from mim_bench.errors import ConfigError
from mim_bench.suite.config_index import CONFIGS, config_hash, index_configs, read_settings

SAMPLES = [
    'classification/probe_swin-base_8xb64_in1k-224px.py',
    'classification/finetune_beit-vit-large_8xb64-accum2-amp-conmim-5e_in1k-384px.py',
    'detection/mask_rcnn/mask-rcnn_vit-large_32xb2-amp-vitdet-184375i_coco-1024px.py',
    'segmentation/upernet/upernet_vit-base_8xb2-amp-mae-160k_ade20k-512px.py',
    'pretrain/ummae/ummae_swin-large_8xb64-accum8-amp-coslr-800e_in1k-256px.py',
    'demo/mask-rcnn_ummae-swin-toy_1xb4-3e_toy-coco-128px.py',
]


@pytest.mark.parametrize('name', SAMPLES)
def test_read_settings_agrees_with_the_resolved_config(name):
    resolved = Config.fromfile(CONFIGS / name)
    wanted = {key: resolved[key] for key in ('protocol', 'pretraining') if key in resolved}
    wanted['protocol'].pop('by_backbone', None)
    assert read_settings(CONFIGS / name) == wanted


def test_index_configs_every_entry_has_task_protocol_and_tier():
    entries = index_configs()
    assert len(entries) > 100
    assert all(e.task and e.protocol and e.version and e.tier for e in entries)


def test_index_configs_probe_gives_both_of_its_tasks():
    tasks = [e.task for e in index_configs() if e.path.endswith(SAMPLES[0])]
    assert tasks == ['in1k-knn', 'in1k-linear']


def test_index_configs_without_the_repository_raises(tmp_path):
    with pytest.raises(ConfigError, match='no such folder of configs'):
        index_configs(tmp_path / 'configs')


def test_read_settings_computed_value_raises(tmp_path):
    path = tmp_path / 'a_b_c.py'
    path.write_text('epochs = 3\nprotocol = dict(task="x", name=f"x-{epochs}e")\n')
    with pytest.raises(ConfigError, match=r'a_b_c\.py:2: .* is no plain value'):
        read_settings(path)


def test_read_settings_missing_base_raises(tmp_path):
    path = tmp_path / 'a_b_c.py'
    path.write_text("_base_ = './nowhere.py'\n")
    with pytest.raises(ConfigError, match=r'nowhere\.py: cannot be read as a config'):
        read_settings(path)


def test_index_configs_loads_no_heavy_library():
    code = (
        'import sys; from mim_bench.suite.config_index import index_configs; index_configs(); '
        "sys.exit(str({'torch', 'mmengine', 'numpy'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stderr.strip() == ''


def test_config_hash_follows_the_config_and_its_bases(tmp_path):
    base, leaf, other = (tmp_path / name for name in ('base_a_b.py', 'leaf_a_b.py', 'x_a_b.py'))

    def digest(base_text, leaf_text):
        base.write_text(base_text)
        leaf.write_text(f"_base_ = ['./base_a_b.py']\n{leaf_text}")
        other.write_text('z = 1\n')
        config_hash.cache_clear()
        read_settings.cache_clear()
        return config_hash(leaf)

    first = digest('x = 1\n', 'y = 1\n')
    assert digest('x = 1\n', 'y = 1\n') == first
    assert len({first, digest('x = 2\n', 'y = 1\n'), digest('x = 1\n', 'y = 2\n')}) == 3
