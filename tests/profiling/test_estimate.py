"""Estimates by pencil, and against what is measured on a CPU."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mim_bench.errors import ConfigError
from mim_bench.profiling.comparison import Entry, Plan, compare
from mim_bench.profiling.estimate import (
    StepEstimate,
    estimate_config,
    image_share,
    recipe_processes,
)
from mim_bench.profiling.fake_step import OwnProcess
from mim_bench.profiling.step_trace import MemoryParts
from mim_bench.profiling.training_step import StepSettings

CONFIGS = Path(__file__).parents[2] / 'configs'
MAE = next((CONFIGS / 'demo').glob('mae_vit-toy*'))
UMMAE = next((CONFIGS / 'demo').glob('ummae_swin-toy*'))
# What the operating system sees beyond the tensors: buffers of the libraries, and rounding.
TOLERANCE = 0.2


def estimate(**fields):
    memory = MemoryParts(1, 2, 3, 4, 5)
    known = dict(precision='fp16', batch_size=64, memory=memory, bucket_bytes=10)
    counts = dict(flops_forward=1e9, flops_step=3e9, num_parameters=7, num_trainable=6)
    return StepEstimate(**known, **counts, **fields)


def test_time_is_operations_over_the_assumed_throughput():
    assert estimate().step_s(192.0) == pytest.approx(1e-3)  # 64 x 3 GFLOP
    # 3 GFLOP x 1.2e9 images over 8 GPUs of 100 TFLOP/s.
    assert estimate(processes=8, num_images=1_200_000_000).hours(100.0) == pytest.approx(1.25)
    assert estimate().hours(100.0) is None


def test_total_is_all_parts_and_the_buckets():
    assert estimate().total_bytes == 25
    assert estimate().to_dict()['total_bytes'] == 25


@pytest.mark.parametrize(('dataset', 'share'), [
    (dict(type='A'), 1.0),
    (dict(type='RepeatDataset', times=3, dataset=dict(type='A')), 3.0),
    (dict(type='LabelFraction', share=0.1, dataset=dict(type='A')), 0.1),
])  # fmt: skip
def test_image_share_follows_wrappers(dataset, share):
    assert image_share(dataset) == share


def test_processes_are_those_that_make_the_recipes_update():
    cfg = Config(
        dict(
            effective_batch_size=2048,
            train_dataloader=dict(batch_size=64),
            optim_wrapper=dict(accumulative_counts=4),
        )
    )
    assert recipe_processes(cfg) == 8


def test_config_without_a_training_raises():
    path = next((CONFIGS / 'classification').glob('probe_vit-base*'))
    with pytest.raises(ConfigError, match='trains nothing'):
        estimate_config(str(path))


def test_half_precision_halves_no_weights_and_accumulating_keeps_gradients(process):
    single, mixed = (
        estimate_config(str(MAE), precision=p, batch_size=16, process=process)
        for p in ('fp32', 'bf16')
    )
    assert mixed.memory.parameters == single.memory.parameters
    assert mixed.memory.optimizer == single.memory.optimizer
    assert mixed.memory.activations < single.memory.activations
    assert mixed.flops_step == single.flops_step
    # AdamW has two numbers for each that is trained; what is frozen, and buffers, have none.
    assert single.memory.optimizer == pytest.approx(8 * single.num_trainable, rel=0.05)
    options = {'optim_wrapper.accumulative_counts': 2}
    kept = estimate_config(str(MAE), options, batch_size=16, process=process).memory
    assert kept.gradients == pytest.approx(4 * single.num_trainable, rel=0.05)


def test_known_read_backs_are_known_while_memory_is_followed(process):
    beit = next((CONFIGS / 'demo').glob('beit_vit-toy*'))
    found = estimate_config(str(beit), precision='fp16', batch_size=4, process=process)
    assert found.memory.activations > 0


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='measures the CPU')
@pytest.mark.parametrize('config', [MAE, UMMAE], ids=lambda path: path.stem.split('_')[1])
def test_estimate_is_near_the_measured_peak_of_a_cpu(process, config):
    # Wide and many enough that tensors outweigh what a process allocates besides.
    options = {'model.backbone.drop_path_rate': 0.0} if config is UMMAE else {}
    batch_size = 256
    expected = estimate_config(
        str(config), options, precision='fp32', batch_size=batch_size, process=process
    )
    plan = Plan([Entry('a', str(config), options)], StepSettings('cpu'), batch_size, 1, 1, warmup=1)
    # In a new process: memory that earlier tests have freed would be filled again unseen.
    with OwnProcess() as own:
        (measured,) = own.call(compare, plan).profiles
    # The weights are there before; the batch is on the CPU before as well.
    peak = expected.memory.total - expected.memory.parameters
    assert measured.peak_mem_bytes == pytest.approx(peak, rel=TOLERANCE)
