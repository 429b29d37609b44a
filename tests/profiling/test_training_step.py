"""The step of toy networks, and its operations by pencil."""

import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import nn
from torch.nn import functional as F

from mim_bench.compat.cpu_products import OneDnnProducts
from mim_bench.errors import ConfigError
from mim_bench.profiling import matrix_product
from mim_bench.profiling import training_step as module
from mim_bench.profiling.matrix_product import MatrixProduct
from mim_bench.profiling.step_trace import StepTrace
from mim_bench.profiling.training_step import StepSettings, TrainingStep, count_flops


class ToyAttention(BaseModel):
    """4 tokens of 6 numbers: a linear layer without bias, attention, and a frozen part."""

    def __init__(self, init_cfg=None):
        super().__init__(init_cfg=init_cfg)
        self.linear = nn.Linear(6, 6, bias=False)
        self.frozen = nn.Linear(6, 1).requires_grad_(False)
        self.norm = nn.SyncBatchNorm(4)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = self.norm(self.linear(inputs))
        x = F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None])
        return {'loss': x.square().mean(), 'loss_other': [x.mean(), x.mean()], 'acc': x.max()}


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(MODELS.module_dict, 'ToyAttention', ToyAttention)


def config(**optim_wrapper):
    wrapper = {'optimizer': dict(type='SGD', lr=0.1), **optim_wrapper}
    pretrained = dict(type='Pretrained', checkpoint='absent.pth')
    return Config(dict(model=dict(type='ToyAttention', init_cfg=pretrained), optim_wrapper=wrapper))


def batch(size=2):
    return {'inputs': list(torch.randn(size, 4, 6).unbind()), 'data_samples': None}


class Stacked(nn.Module):
    """A preprocessor that stacks."""

    def forward(self, data, training):
        return {'inputs': torch.stack(data['inputs']), 'data_samples': None}


def make_step(cfg=None, **settings):
    step = TrainingStep(cfg or config(), StepSettings(**settings))
    step.model.data_preprocessor = Stacked()
    return step


def weights(step):
    return step.model.linear.weight.detach().clone()


def test_step_with_an_optimiser_changes_the_weights_and_drops_the_gradients():
    step = make_step()
    before = weights(step)
    step(batch())
    assert not torch.equal(weights(step), before)
    assert all(parameter.grad is None for parameter in step.model.parameters())


def test_step_without_an_optimiser_leaves_the_weights():
    step = make_step(has_optimizer=False)
    before = weights(step)
    step(batch())
    assert torch.equal(weights(step), before)


def test_step_of_a_recipe_with_mixed_precision_and_accumulation_runs_on_a_cpu():
    cfg = config(
        type='AmpOptimWrapper',
        loss_scale='dynamic',
        accumulative_counts=8,
        clip_grad=dict(max_norm=1e-5),
    )
    step = make_step(cfg)
    before = weights(step)
    step(batch())
    # Not the eighth step but every one updates, by the rate times the clipped gradient.
    moved = (weights(step) - before).norm()
    assert 0 < moved <= 1.1e-6


def test_step_sums_the_losses_by_mmengines_rule():
    step = make_step()
    x = step.model(torch.stack(batch()['inputs']))
    torch.manual_seed(0)
    data = batch()
    loss = step.forward(data)
    x = step.model(torch.stack(data['inputs']))
    torch.testing.assert_close(loss, x['loss'] + 2 * x['loss_other'][0])


def test_step_in_bfloat16_is_autocast():
    seen = []
    step = make_step(precision='bf16')
    step.model.linear.register_forward_hook(lambda *args: seen.append(args[-1].dtype))
    step(batch())
    assert seen == [torch.bfloat16]
    assert step.model.linear.weight.dtype == torch.float32


def test_step_averages_the_momentum_network_with_the_optimiser():
    step, calls = make_step(), []
    network = SimpleNamespace(update_parameters=lambda *args: calls.append(args))
    object.__setattr__(step.model, 'momentum_network', network)
    step(batch())
    assert len(calls) == 1


def test_step_counts_parameters():
    total, trained = make_step().count_parameters()
    assert (total, trained) == (36 + 7 + 8, 36 + 8)


def test_step_fp16_on_a_cpu_raises():
    with pytest.raises(ConfigError, match='Use bf16 on a CPU'):
        make_step(precision='fp16')


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_step_on_a_gpu_that_is_not_there_raises():
    with pytest.raises(ConfigError, match='torch finds no GPU'):
        make_step(device='cuda')


def test_step_config_without_an_optimiser_raises():
    cfg = Config(dict(model=dict(type='ToyAttention')))
    with pytest.raises(ConfigError, match='no optim_wrapper'):
        make_step(cfg)


def test_count_flops_counts_products_and_attention():
    # Of an image: 4 tokens x 6 x 6, twice for multiply and add; attention has two products of
    # 4 x 4 x 6. Backward: the same for the weights (the input needs none), twice for attention.
    linear, attention = 2 * 4 * 6 * 6, 2 * 2 * 4 * 4 * 6
    step = make_step()
    forward, total = count_flops(step, batch(3))
    assert forward == 3 * (linear + attention)
    assert total == 3 * (2 * linear + 3 * attention)
    assert step.model.linear.weight.grad is None


def test_count_flops_counts_the_products_of_onednn():
    layer, x = torch.nn.Linear(256, 256), torch.randn(300, 256)

    def forward(batch, compiled):
        with OneDnnProducts():
            return layer(batch).sum()

    # Backward: of the weights only, the input needs none.
    product = 2 * 300 * 256 * 256
    assert count_flops(SimpleNamespace(model=layer, forward=forward), x) == (product, 2 * product)


@pytest.mark.parametrize('kind', [torch.nn.Conv2d, torch.nn.ConvTranspose2d])
@pytest.mark.parametrize('groups', [1, 2, 8])
def test_flops_of_a_convolution_in_groups_are_thrice_those_of_its_forward_pass(kind, groups):
    # 8 channels, 3 x 3 weights, 4 x 4 pixels.
    product = 2 * 8 * (8 // groups) * 9 * 16
    layer, x = kind(8, 8, 3, padding=1, groups=groups), torch.randn(1, 8, 4, 4, requires_grad=True)
    step = SimpleNamespace(model=layer, forward=lambda images, compiled: layer(images).sum())
    assert count_flops(step, x) == (product, 3 * product)
    with StepTrace('cpu', layer) as trace:
        layer(x).sum().backward()
    assert (trace.flops_forward, trace.flops) == (product, 3 * product)


def test_step_multiplies_as_the_config_says(monkeypatch):
    seen = []
    monkeypatch.setattr(module, 'cpu_products', lambda choice: seen.append(choice) or nullcontext())
    make_step()(batch())
    cfg = config()
    cfg.cpu_products = 'torch'
    make_step(cfg)(batch())
    assert seen == [None, None, 'torch', 'torch']


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(matrix_product, 'CPU_SIZE', 64)


@pytest.mark.parametrize('is_onednn', [True, False])
def test_matrix_product_counts_a_multiply_add_as_two(small, is_onednn):
    product = MatrixProduct(torch.device('cpu'), torch.float32)
    assert product.flops == 2 * 64**3
    product.is_onednn = is_onednn
    product()


def test_matrix_product_is_the_faster_one(small, monkeypatch):
    # The shortest of three counts, so no pause of the machine decides.
    monkeypatch.setattr(MatrixProduct, '_by_onednn', lambda self: time.sleep(0.02))
    monkeypatch.setattr(MatrixProduct, '_by_torch', lambda self: None)
    assert not MatrixProduct(torch.device('cpu'), torch.float32).is_onednn
    monkeypatch.setattr(MatrixProduct, '_by_torch', lambda self: time.sleep(0.3))
    assert MatrixProduct(torch.device('cpu'), torch.float32).is_onednn
