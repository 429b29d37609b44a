import numpy as np
import pytest
import torch
from safetensors import safe_open

from mim_bench.errors import ConfigError, MimBenchError
from mim_bench.evaluation.feature_file import FeatureFile

NAMES = ['a.png', 'bären/ö.png', 'c.png']
VECTORS = torch.arange(6.0).reshape(3, 2)
MAPS = torch.arange(24.0).reshape(3, 2, 2, 2)


def write(path, dtype='float32', names=NAMES, maps=(MAPS, MAPS)):
    with FeatureFile(path, names, dtype) as file:
        file.append(VECTORS[:2], maps[0][:2])
        file.append(VECTORS[2:], maps[1][2:])


def test_npz_has_features_maps_and_names(tmp_path):
    write(tmp_path / 'new' / 'a.npz')
    with np.load(tmp_path / 'new' / 'a.npz') as content:
        assert content['names'].tolist() == NAMES
        assert np.array_equal(content['features'], VECTORS)
        assert content['features'].dtype == 'f4'
        assert np.array_equal(content['maps'], MAPS)
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['a.npz']


def test_safetensors_has_the_same(tmp_path):
    write(tmp_path / 'a.safetensors', 'float16')
    with safe_open(tmp_path / 'a.safetensors', 'pt') as content:
        assert torch.equal(content.get_tensor('features'), VECTORS.half())
        assert torch.equal(content.get_tensor('maps'), MAPS.half())
        assert bytes(content.get_tensor('names').tolist()).decode().split('\n') == NAMES


def test_failure_leaves_nothing(tmp_path):
    with pytest.raises(MimBenchError, match='3 features, 2 names'):
        write(tmp_path / 'a.npz', names=NAMES[:2])
    with pytest.raises(ConfigError, match='images of one size'):
        write(tmp_path / 'a.npz', maps=[MAPS, MAPS[:, :, :1]])
    assert not list(tmp_path.iterdir())


def test_other_ending_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r'\.npz or \.safetensors'):
        FeatureFile(tmp_path / 'a.h5', NAMES)
