"""Modules that initialise their weights themselves."""

import torch
from mmengine.model import BaseModule
from torch import nn

from mim_bench.models.layers.base import OwnWeights


class Own(OwnWeights, BaseModule):
    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.norm = nn.LayerNorm(2)
        self.linear = nn.Linear(2, 2)

    def init_own_weights(self):
        nn.init.ones_(self.norm.weight)  # as it is
        nn.init.constant_(self.linear.weight, 2)


class Model(BaseModule):
    def __init__(self, **kwargs):
        super().__init__()
        self.part, self.other = Own(**kwargs), nn.Linear(2, 2)

    def _dump_init_info(self):
        names = {p: n for n, p in self.named_parameters()}
        self.noted = {names[p]: info['init_info'] for p, info in self._params_init_info.items()}


def test_log_says_that_all_weights_are_the_modules_own_also_where_they_stay():
    model = Model()
    model.init_weights()
    assert {v for n, v in model.noted.items() if n.startswith('part.')} == {
        'Initialized by Own itself'
    }
    assert model.noted['other.weight'].startswith('The value is the same')


def test_init_cfg_comes_after_and_says_so():
    model = Model(init_cfg=dict(type='Constant', layer='Linear', val=3))
    model.init_weights()
    assert torch.equal(model.part.linear.weight, torch.full((2, 2), 3.0))
    assert 'Constant' in model.noted['part.linear.weight']
    assert model.noted['part.norm.weight'] == 'Initialized by Own itself'
