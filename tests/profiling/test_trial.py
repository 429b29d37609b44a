"""A dry run on a machine without a GPU, of a recipe that is for one."""

from pathlib import Path

import pytest
import torch

from mim_bench.engine.launch import Launch
from mim_bench.profiling import trial as module
from mim_bench.profiling.trial import Trial, try_out

MAE = next((Path(__file__).parents[2] / 'configs' / 'demo').glob('mae_vit-toy*'))
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
pytestmark = pytest.mark.usefixtures('in_that_process')


@pytest.fixture
def launch(toy_root, tmp_path):
    def make(**more):
        return Launch(
            str(MAE), data_root=str(toy_root / 'imagenet'), work_dir=str(tmp_path), **more
        )

    return make


@no_gpu
def test_mixed_precision_without_a_gpu_is_estimated(launch):
    found = try_out(launch(precision='fp16'), 'train')
    assert found.device == 'cuda'
    assert found.assumed_tflops == 100
    assert found.memory_bytes == sum(found.memory_parts.values())
    # Time is nothing but operations over the assumption.
    images = found.images_per_step
    assert found.step_s == pytest.approx(found.flops_step * images / 100e12)
    assert found.epochs > 0
    assert len(found.groups) > 0
    assert Trial.from_dict(found.to_dict()) == found


@no_gpu
def test_several_processes_without_gpus_are_estimated_with_their_buckets(launch, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '4')
    found = try_out(launch(launcher='pytorch'), 'train')
    assert found.memory_parts['buckets'] > 0.9 * found.memory_parts['parameters']


@no_gpu
def test_single_precision_of_one_process_is_measured_unless_a_throughput_is_given(
    launch, monkeypatch
):
    measured, estimated = object(), []
    monkeypatch.setattr(module, '_try_training', lambda *_: measured)
    monkeypatch.setattr(module, '_estimate_training', lambda *args: estimated.append(args[2]))
    assert try_out(launch(), 'train') is measured
    try_out(launch(), 'train', 55.0)
    assert estimated == [55.0]


@no_gpu
def test_tests_are_estimated_by_the_operations_of_their_forward_pass(launch):
    found = try_out(launch(launcher=None), 'train', 100.0)
    probe = next((Path(__file__).parents[2] / 'configs' / 'demo').glob('probe_vit-toy*'))
    test = try_out(Launch(str(probe), data_root=launch().data_root), 'test', 100.0)
    assert 0 < test.flops_step < found.flops_step * 10
    assert test.step_s == pytest.approx(test.flops_step * test.images_per_step / 100e12)
    assert test.epochs is None
