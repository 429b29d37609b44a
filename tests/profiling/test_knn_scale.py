import numpy as np
import pytest

from mim_bench.cli.main import main
from mim_bench.cost import memory
from mim_bench.errors import ConfigError
from mim_bench.evaluation.probes.features import Features
from mim_bench.profiling.knn_scale import measure_knn, write_random_features


def test_write_random_features_are_normal_and_stay(tmp_path):
    write_random_features(tmp_path, 20000, 3)
    features = Features.open(tmp_path)
    assert features.x.shape == (20000, 3)
    assert features.num_classes == 1000
    assert features.x[:].std().item() == pytest.approx(1, abs=0.02)
    write_random_features(tmp_path, 20000, 3, seed=1)
    assert np.array_equal(np.load(tmp_path / 'x.npy'), features.x[:].numpy())


def test_write_random_features_of_another_size_raises(tmp_path):
    write_random_features(tmp_path, 20, 3)
    with pytest.raises(ConfigError, match=r'shape \(20, 3\), not \(20, 4\)'):
        write_random_features(tmp_path, 20, 4)


def test_measure_knn_counts_operations_over_seconds(tmp_path):
    write_random_features(tmp_path / 'bank', 300, 16)
    write_random_features(tmp_path / 'query', 50, 16, seed=1)
    cost = measure_knn(tmp_path / 'bank', tmp_path / 'query')
    assert cost.gflop_per_s * cost.wall_s == pytest.approx(2 * 300 * 50 * 16 / 1e9)
    assert cost.peak_resident_bytes > 2**20
    assert cost.peak_gpu_bytes is None


def test_measure_knn_memory_is_the_process_own_and_not_that_of_who_started_it(
    tmp_path, monkeypatch
):
    (tmp_path / 'status').write_text('VmHWM: 3 kB\nVmRSS: 2 kB\n')
    monkeypatch.setattr(memory, '_STATUS', tmp_path / 'status')
    write_random_features(tmp_path, 30, 3)
    assert measure_knn(tmp_path, tmp_path).peak_resident_bytes == 3 * 1024


def test_knn_command_prints_time_and_memory(capsys):
    assert main(['knn', '--train', '100', '--val', '10', '--dim', '8']) == 0
    printed = capsys.readouterr().out
    assert '10 against 100 features of 8 numbers, k = 20' in printed
    assert 'GFLOP/s' in printed


def test_knn_command_bad_size_is_one_error(capsys):
    assert main(['knn', '--val', '0']) == 1
    assert 'Each must be 1 or more' in capsys.readouterr().err
