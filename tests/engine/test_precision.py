"""What a run computes in, and that its protocol says so."""

import pytest
import torch
from mmengine.config import Config

from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import ConfigError
from mim_bench.recipe.precision import precision_of, set_precision
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.testing.commands import mim_bench
from mim_bench.testing.config_names import demo
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
        (BF16, 'recipe', BF16),
        (BF16, 'bf16', {'type': 'mim_bench.Bfloat16OptimWrapper', 'optimizer': SGD}),
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
    assert precision == 'recipe' or precision_of(cfg) == precision


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


@pytest.fixture
def train(toy_root, tmp_path):
    def run(*words):
        folders = ['--data-root', toy_root / 'imagenet', '--work-dir', tmp_path]
        options = ['param_scheduler.warmup_epochs=0', 'train_cfg.max_epochs=1']
        options += ['optim_wrapper.type=AmpOptimWrapper', 'train_dataloader.batch_size=20']
        options += ['effective_batch_size=20']
        config = demo('finetune_vit-toy*')
        return mim_bench('train', config, *folders, *words, '--cfg-options', *options)

    return run


def test_no_amp_is_fp32_and_not_given_beside_a_precision(train):
    assert train('--no-amp').returncode == 0
    done = train('--no-amp', '--precision', 'bf16')
    assert done.returncode == 2
    assert 'argument --precision: not allowed with argument --no-amp' in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason='a GPU computes in fp16')
@pytest.mark.parametrize(
    ('words', 'blamed'),
    [
        (['--precision', 'fp16'], 'error: --precision fp16 computes'),
        ([], '.py: the recipe computes'),
    ],
)
def test_mixed_precision_on_a_cpu_is_blamed_on_what_asked_for_it(words, blamed, train):
    done = train(*words)
    assert done.returncode == 1
    assert blamed in done.stderr
    assert '--precision fp32 or --precision bf16' in done.stderr
