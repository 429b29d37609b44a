"""What a run computes in, and that its protocol says so."""

import pytest
import torch
from mmengine.config import Config

from mim_bench.engine.launch import Launch, resolve_training
from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import ConfigError
from mim_bench.recipe.precision import precision_of, set_precision
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.testing.toy_runs import make_runner

SGD = {'type': 'SGD', 'lr': 0.1}
FP16 = {'type': 'AmpOptimWrapper', 'loss_scale': 512.0, 'optimizer': SGD}
BF16 = {'type': 'AmpOptimWrapper', 'dtype': 'bfloat16', 'optimizer': SGD}


def config(wrapper):
    return Config({'optim_wrapper': dict(wrapper), 'train_dataloader': {'batch_size': 2}})


@pytest.mark.parametrize(
    ('wrapper', 'precision', 'wanted'),
    [
        (FP16, 'recipe', FP16),
        (FP16, 'fp16', FP16),
        (BF16, 'bf16', BF16),
        (FP16, 'fp32', {'type': 'OptimWrapper', 'optimizer': SGD}),
        (FP16, 'bf16', {'type': 'mim_bench.Bfloat16OptimWrapper', 'optimizer': SGD}),
        (BF16, 'fp16', {**FP16, 'dtype': 'float16', 'loss_scale': 'dynamic'}),
        ({'optimizer': SGD}, 'fp16', {**FP16, 'dtype': 'float16', 'loss_scale': 'dynamic'}),
    ],
)
def test_set_precision_changes_the_wrapper_and_nothing_else(wrapper, precision, wanted):
    cfg = config(wrapper)
    set_precision(cfg, precision)
    assert cfg.optim_wrapper == wanted
    assert precision_of(cfg) == (precision if precision != 'recipe' else 'fp16')


def test_precision_is_in_the_protocol_and_both_ways_to_bfloat16_are_one():
    found = {}
    for precision in ('fp32', 'fp16', 'bf16'):
        cfg = config(FP16)
        set_precision(cfg, precision)
        found[precision] = protocol_settings(cfg)
    assert found['fp16'] == protocol_settings(config(FP16))
    assert found['bf16'] == protocol_settings(config(BF16))
    assert found['fp32'] != found['fp16'] != found['bf16'] != found['fp32']


def test_bfloat16_trains_on_a_cpu_with_weights_in_float32(pretraining):
    wrapper = {'type': 'mim_bench.Bfloat16OptimWrapper', 'optimizer': SGD}
    runner = make_runner(pretraining(optim_wrapper=wrapper), BenchRunner)
    seen, forward = [], runner.model.backbone.forward
    runner.model.backbone.forward = lambda x: seen.append(forward(x).dtype) or forward(x)
    runner.train()
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in runner.model.parameters()} == {torch.float32}


def test_precision_of_another_wrapper_cannot_be_changed():
    cfg = config({'type': 'ApexOptimWrapper', 'optimizer': SGD})
    with pytest.raises(ConfigError, match="'ApexOptimWrapper', whose precision"):
        set_precision(cfg, 'bf16')
    with pytest.raises(ConfigError, match=r"--precision 'int8' is unknown\. Known: recipe"):
        set_precision(cfg, 'int8')


def test_no_amp_beside_another_precision_is_refused(tmp_path):
    (tmp_path / 'a.py').write_text(f'optim_wrapper = {FP16!r}')
    with pytest.raises(ConfigError, match=r'--no-amp means --precision fp32, but .* bf16'):
        resolve_training(Launch(str(tmp_path / 'a.py'), no_amp=True, precision='bf16'))
