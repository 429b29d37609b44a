"""The momentum network: its curve, one update by hand, what it leaves alone."""

import pytest
import torch
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.models.layers.momentum import MomentumNetwork


class Model(nn.Module):
    def __init__(self, **momentum):
        super().__init__()
        self.backbone = nn.Linear(2, 3)
        self.neck = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 1)
        parts = dict(backbone=self.backbone, neck=self.neck)
        self.momentum_network = MomentumNetwork(parts, **momentum)


def drifted(**momentum) -> Model:
    """A model that differs from its momentum network by one everywhere."""
    model = Model(**momentum)
    with torch.no_grad():
        for value in (*model.backbone.parameters(), *model.neck.parameters()):
            value += 1
        model.neck.running_mean += 5
    return model


@pytest.mark.parametrize(
    ('progress', 'taken'), [(0, 4.0e-3), (0.25, 3.414e-3), (0.5, 2.0e-3), (0.75, 5.86e-4), (1, 0)]
)
def test_momentum_at_follows_the_cosine(progress, taken):
    network = Model(base_momentum=0.996, end_momentum=1.0).momentum_network
    assert 1 - network.momentum_at(progress) == pytest.approx(taken, rel=1e-3, abs=1e-12)


def test_momentum_first_update_averages_and_does_not_copy():
    model = drifted(base_momentum=0.75)
    before = model.momentum_network['backbone'].weight.clone()
    model.momentum_network.update_parameters(model, progress=0.0)
    torch.testing.assert_close(model.momentum_network['backbone'].weight, before + 0.25)
    assert int(model.momentum_network.steps) == 1


def test_momentum_update_leaves_the_model_and_all_buffers_alone():
    model = drifted()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.momentum_network.update_parameters(model, progress=0.0)
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    parts = [f'momentum_network.module.{part}' for part in ('backbone', 'neck')]
    parameters = {f'{part}.{name}' for part in parts for name in ('weight', 'bias')}
    assert changed == parameters | {'momentum_network.steps'}


def test_momentum_network_gets_no_gradient_and_gives_none():
    model = Model()
    network = model.momentum_network
    assert not any(p.requires_grad for p in network.parameters())
    with_grad = network['neck'](network['backbone'](torch.randn(4, 2)))
    assert not with_grad.requires_grad


@pytest.mark.parametrize('train_mode', [True, False])
def test_momentum_batch_norm_uses_its_own_batch_where_asked(train_mode):
    model = Model(train_mode=train_mode).train()
    x = torch.randn(8, 3) + 3
    y = model.momentum_network['neck'](x)
    assert (y.mean().abs() < 1e-5) == train_mode
    model.eval()
    assert not model.momentum_network['neck'].training


def test_momentum_synchronize_copies_parameters_and_buffers():
    model = drifted()
    model.momentum_network.synchronize(model)
    assert torch.equal(model.momentum_network['backbone'].weight, model.backbone.weight)
    assert torch.equal(model.momentum_network['neck'].running_mean, model.neck.running_mean)


@pytest.mark.parametrize('ends', [(1.0, 1.0), (0.0, 1.0), (0.99, 0.9), (0.99, 1.1)])
def test_momentum_out_of_range_raises(ends):
    with pytest.raises(ConfigError, match='base_momentum'):
        Model(base_momentum=ends[0], end_momentum=ends[1])
