"""The linear layer through oneDNN, and attention with a learned bias, against torch's own."""

import pytest
import torch
from mmcv.cnn.bricks.transformer import FFN
from torch import nn
from torch.nn import functional as F

from mim_bench.models import linear as linear_module
from mim_bench.models.backbones.biased_attention import biased_attention
from mim_bench.models.feed_forward import feed_forward
from mim_bench.models.linear import Linear, linear, use_fast_linear


@pytest.mark.parametrize('with_scale', [True, False])
@pytest.mark.parametrize('with_bias', [True, False])
@pytest.mark.parametrize('width', [256, 24])  # through oneDNN, and too small for it
def test_linear_gives_the_numbers_and_gradients_of_torch(width, with_bias, with_scale):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 150, width), torch.randn(260, width) / 16
    bias = torch.randn(260) if with_bias else None
    scale = torch.randn(260) if with_scale else None
    tensors = [t.requires_grad_() for t in (x, weight, bias, scale) if t is not None]
    ours = linear(x, weight, bias, scale=scale)
    theirs = F.linear(x, weight, bias) * (1 if scale is None else scale)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    out = torch.randn_like(ours)
    pairs = [torch.autograd.grad(y, tensors, out) for y in (ours, theirs)]
    for found, expected in zip(*pairs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('width', [256, 24])
def test_linear_of_gelu_gives_the_numbers_and_gradients_of_torch(width):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 150, width), torch.randn(260, width) / 16, torch.randn(260)
    tensors = [t.requires_grad_() for t in (x, weight, bias)]
    ours = linear(x, weight, bias, of_gelu=True)
    theirs = F.linear(F.gelu(x), weight, bias)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    out = torch.randn_like(ours)
    pairs = [torch.autograd.grad(y, tensors, out) for y in (ours, theirs)]
    for found, expected in zip(*pairs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('width', [256, 24])
def test_linear_of_gelu_does_not_keep_the_activation(width):
    kept = []
    x, weight = torch.randn(300, width, requires_grad=True), torch.randn(256, width)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        linear(x, weight, of_gelu=True)
    assert {id(t) for t in kept} == {id(x), id(weight)}


def test_use_fast_linear_keeps_parameters_and_keys():
    network = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Linear(3, 2, bias=False)))
    parameters, keys = list(network.parameters()), list(network.state_dict())
    x = torch.randn(5, 4)
    expected = network(x)
    use_fast_linear(network)
    assert isinstance(network[0], Linear)
    assert isinstance(network[1][0], Linear)
    assert all(a is b for a, b in zip(network.parameters(), parameters, strict=True))
    assert list(network.state_dict()) == keys
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize(
    ('activation', 'dropout'), [('GELU', 0.0), ('ReLU', 0.0), ('GELU', 0.5)], ids=str
)
@pytest.mark.parametrize('width', [256, 96, 8])  # oneDNN, neither, narrow
def test_feed_forward_equals_the_layers_of_mmcv(width, activation, dropout):
    ffn = FFN(width, 2 * width, act_cfg=dict(type=activation), ffn_drop=dropout)
    x = torch.randn(2, 150, width, requires_grad=True)
    torch.manual_seed(1)
    expected = ffn(x, identity=torch.zeros(()))
    torch.manual_seed(1)
    ours = feed_forward(ffn, x)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    tensors, out = [x, *ffn.parameters()], torch.randn_like(ours)
    pairs = [torch.autograd.grad(y, tensors, out) for y in (ours, expected)]
    for found, wanted in zip(*pairs, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(('width', 'is_used'), [(256, True), (255, False)])
def test_linear_goes_through_onednn_where_it_pays(width, is_used):
    x, weight = torch.randn(256, width), torch.randn(256, width)
    assert linear_module._suits_onednn(x, weight) == is_used


def test_linear_under_autocast_computes_in_low_precision():
    x, weight = torch.randn(256, 256), torch.randn(256, 256)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16


@pytest.mark.parametrize('with_bias', [True, False])
def test_biased_attention_gives_the_numbers_and_gradients_of_its_definition(with_bias):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 5, 4, requires_grad=True) for _ in range(3))
    bias = torch.randn(1, 3, 5, 5, requires_grad=True) if with_bias else None
    ours = biased_attention(q, k, v, bias, 0.5)
    logits = 0.5 * q @ k.transpose(-2, -1) + (bias if with_bias else 0)
    theirs = logits.softmax(dim=-1) @ v
    torch.testing.assert_close(ours, theirs)
    out = torch.randn_like(ours)
    tensors = [q, k, v, bias] if with_bias else [q, k, v]
    pairs = [torch.autograd.grad(y, tensors, out) for y in (ours, theirs)]
    for found, expected in zip(*pairs, strict=True):
        torch.testing.assert_close(found, expected)
