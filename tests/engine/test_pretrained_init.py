"""Every path by which weights enter a run, through mmengine's own classes."""

import pytest
import torch
from mmengine.model import BaseModel, BaseModule
from mmengine.registry import MODELS
from torch import nn

from mim_bench.engine.pretrained_init import GatedPretrainedInit, gated_initialisation
from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import CheckpointError


class Backbone(BaseModule):
    """100 values in ``layer``, 1 in ``scale``."""

    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.layer = nn.Linear(100, 1, bias=False)
        self.scale = nn.Parameter(torch.zeros(1))


class Network(BaseModel):
    def __init__(self, init_cfg=None):
        super().__init__()
        self.backbone = Backbone(init_cfg)
        self.head = nn.Linear(1, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.head(self.backbone.layer(inputs))


def save(path, **weights):
    torch.save({'state_dict': {k.replace('__', '.'): v for k, v in weights.items()}}, path)
    return str(path)


@pytest.fixture
def whole(tmp_path):
    return save(
        tmp_path / 'whole.pth',
        backbone__layer__weight=torch.full((1, 100), 2.0),
        backbone__scale=torch.ones(1),
    )


@pytest.mark.parametrize('prefix', [{}, {'prefix': 'backbone'}, {'prefix': 'backbone.'}])
def test_init_cfg_fills_the_module_and_reports(whole, prefix):
    network = Network(dict(type='Pretrained', checkpoint=whole, **prefix))
    with gated_initialisation(allow_partial=False) as initialisation:
        network.init_weights()
    assert (network.backbone.layer.weight == 2).all()
    assert [report.share for report in initialisation.reports] == [1.0]


def test_init_cfg_of_a_file_that_does_not_fit_stops(tmp_path):
    path = save(tmp_path / 'a.pth', backbone__scale=torch.ones(1), backbone__other=torch.ones(3))
    network = Network(dict(type='Pretrained', checkpoint=path))
    with pytest.raises(CheckpointError, match=r'fills only 1\.0% of Backbone.*layer\.weight'):
        network.init_weights()
    with gated_initialisation(allow_partial=True) as initialisation:
        Network(dict(type='Pretrained', checkpoint=path)).init_weights()
    assert initialisation.reports[0].missing == ['layer.weight']


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmseg', 'mmdet'])
def test_init_cfg_in_every_library_goes_through_the_gate(scope):
    from mmengine.registry import WEIGHT_INITIALIZERS, DefaultScope

    with DefaultScope.overwrite_default_scope(scope):
        built = WEIGHT_INITIALIZERS.build(dict(type='Pretrained', checkpoint='a.pth'))
    assert isinstance(built, GatedPretrainedInit)


def make_runner(tmp_path, **cfg):
    MODELS.register_module(name='GateNetwork', module=Network, force=True)
    model = dict(type='GateNetwork') | cfg.pop('model', {})
    return BenchRunner.from_cfg(
        dict(model=model, work_dir=str(tmp_path / 'run'), default_scope='mmengine', **cfg)
    )


def test_runner_init_cfg_report_is_the_runs(whole, tmp_path):
    init = dict(type='Pretrained', checkpoint=whole)
    runner = make_runner(tmp_path, model={'init_cfg': init})
    runner._init_model_weights()
    assert runner.load_report.share == 1
    assert runner.load_report.parts == {'scale': 1.0, 'layer': 1.0}


def test_runner_load_from_needs_every_key_or_allow_partial(whole, tmp_path):
    with pytest.raises(CheckpointError, match=r'whole\.pth: fills only 98\.\d% of Network.*head'):
        make_runner(tmp_path, load_from=whole).load_or_resume()
    runner = make_runner(tmp_path, load_from=whole, allow_partial=True)
    runner.load_or_resume()
    assert runner.load_report.missing == ['head.bias', 'head.weight']
    assert runner.load_report.parts == {'backbone': 1.0, 'head': 0.0}
    assert (runner.model.backbone.layer.weight == 2).all()


def test_runner_resume_needs_every_key_even_if_partial_is_allowed(whole, tmp_path):
    runner = make_runner(tmp_path, load_from=whole, resume=True, allow_partial=True)
    with pytest.raises(CheckpointError, match=r'whole\.pth: fills only 98'):
        runner.load_or_resume()
