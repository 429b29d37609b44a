"""A table kept in evaluation: when it is made anew, and that it is no weight."""

import pytest
import torch
from torch import nn

from mim_bench.models.backbones.derived_table import DerivedTable


class Doubled(nn.Module):
    """Returns twice its parameter, and counts how often that is computed."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.table = DerivedTable()
        self.count = 0

    def forward(self, request='a'):
        return self.table((self.weight,), request, self.make)

    def make(self):
        self.count += 1
        return 2 * self.weight


@pytest.fixture
def network():
    return Doubled().eval()


def test_derived_table_in_evaluation_is_made_once(network):
    with torch.no_grad():
        assert network() is network()
    assert network.count == 1


CHANGES = {
    'request': lambda network: None,
    'in place': lambda network: network.weight.add_(1),
    'loaded': lambda network: network.load_state_dict({'weight': torch.zeros(2)}),
    'moved': lambda network: network.double(),
    'mode': lambda network: network.train().eval(),
    'data, then the mode': lambda network: (network.weight.data.add_(1), network.eval()),
}


@pytest.mark.parametrize('change', CHANGES)
def test_derived_table_is_made_anew_after_a_change(network, change):
    with torch.no_grad():
        network()
        CHANGES[change](network)
        found = network('b' if change == 'request' else 'a')
    assert network.count == 2
    assert torch.equal(found, 2 * network.weight)


def test_derived_table_with_gradients_or_in_training_is_never_kept(network):
    network()
    assert network().requires_grad
    network.train()
    with torch.no_grad():
        network()
        network()
    assert network.count == 4


def test_derived_table_that_is_a_parameter_adds_no_key(network):
    with torch.no_grad():
        network.table((network.weight,), 'itself', lambda: network.weight)
    assert list(network.state_dict()) == ['weight']


def test_derived_table_of_a_network_made_for_inference_is_made_at_every_call():
    with torch.inference_mode():
        network = Doubled().eval()
        network()
        torch.testing.assert_close(network(), torch.full((2,), 2.0))
    assert network.count == 2
