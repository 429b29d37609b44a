"""Linear layers through oneDNN against torch's own."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.compat import cpu_products as module
from mim_bench.compat.cpu_products import OneDnnProducts, cpu_products, suits_onednn
from mim_bench.errors import ConfigError


@pytest.fixture
def taken(monkeypatch):
    """How often oneDNN multiplied."""
    calls = []
    apply = module._OneDnnLinear.apply
    monkeypatch.setattr(
        module._OneDnnLinear, 'apply', lambda *args: calls.append(args) or apply(*args)
    )
    return calls


def gradients(layer, x, context):
    with context:
        out = layer(x)
        torch.manual_seed(1)
        wanted = [t for t in (x, *layer.parameters()) if t.requires_grad]
        return [out, *torch.autograd.grad(out, wanted, torch.randn_like(out))]


@pytest.mark.parametrize('frozen', ['', 'weight', 'bias', 'input'])
@pytest.mark.parametrize('has_bias', [True, False])
def test_linear_layer_has_the_values_and_gradients_of_torch(taken, has_bias, frozen):
    torch.manual_seed(0)
    layer = nn.Linear(256, 260, bias=has_bias)
    x = torch.randn(2, 150, 256, requires_grad=frozen != 'input')
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(name != frozen)
    ours, theirs = (gradients(layer, x, cpu_products(c)) for c in ('onednn', 'torch'))
    assert len(taken) == 1
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_expanded_gradient_is_taken(taken):
    layer, x = nn.Linear(256, 256), torch.randn(256, 256)
    for choice in ('onednn', 'torch'):
        with cpu_products(choice):
            layer(x).sum().backward()
    # The sum of ones over 256 rows, twice.
    torch.testing.assert_close(layer.bias.grad, torch.full((256,), 512.0))


def test_model_keeps_classes_keys_and_hooks(taken):
    network = nn.Sequential(nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 256))
    keys, fired = list(network.state_dict()), []
    network[2].register_forward_hook(lambda *args: fired.append(args[-1].shape))
    with OneDnnProducts():
        network(torch.randn(256, 256))
    assert len(taken) == 2
    assert fired == [(256, 256)]
    assert list(network.state_dict()) == keys
    assert type(network[0]) is nn.Linear


def test_functional_form_and_keywords_are_taken(taken):
    x, weight = torch.randn(256, 256), torch.randn(256, 256)
    with OneDnnProducts():
        F.linear(input=x, weight=weight, bias=None)
    assert len(taken) == 1


@pytest.mark.parametrize(
    ('rows', 'width', 'dtype'),
    [(256, 255, torch.float32), (255, 256, torch.float32), (256, 256, torch.float64)],
)
def test_small_or_other_layers_are_torchs(taken, rows, width, dtype):
    with OneDnnProducts():
        nn.Linear(width, width, dtype=dtype)(torch.randn(rows, width, dtype=dtype))
    assert not taken


def test_autocast_is_torchs(taken):
    with OneDnnProducts(), torch.autocast('cpu', torch.bfloat16):
        out = nn.Linear(256, 256)(torch.randn(256, 256))
    assert out.dtype == torch.bfloat16
    assert not taken


def test_compiled_and_transformed_code_is_torchs(monkeypatch, taken):
    layer, x = nn.Linear(256, 256), torch.randn(3, 256, 256)
    with OneDnnProducts():
        torch.func.vmap(layer)(x)
        torch.func.grad(lambda x: layer(x).sum())(x)
        monkeypatch.setattr(torch.compiler, 'is_compiling', lambda: True)
        layer(x)
    assert not taken


def test_other_devices_are_torchs():
    meta = torch.empty(256, 256, device='meta')
    assert not suits_onednn(meta, meta)


def test_six_dimensions_are_torchs():
    x, weight = torch.randn(2, 2, 2, 8, 4, 256), torch.randn(256, 256)
    assert suits_onednn(x.flatten(0, 1), weight)
    assert not suits_onednn(x, weight)


def test_unknown_choice_raises():
    with pytest.raises(ConfigError, match=r"'mkl' is unknown\. Known: onednn, torch"):
        cpu_products('mkl')
