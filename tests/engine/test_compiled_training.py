"""A training whose forward pass is compiled is the plain one."""

import torch
from mmengine.registry import MODELS
from torch import nn

from mim_bench.engine.runner import BenchRunner
from mim_bench.testing.toy_runs import ToyNet, make_runner


@MODELS.register_module()
class SpareNet(ToyNet):
    """The toy with a parameter whose gradient is exactly 0."""

    def __init__(self):
        super().__init__()
        self.spare = nn.Parameter(torch.ones(3))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        """As the toy's, without noise."""
        features = self.extract_feat(inputs)[-1]
        return {'loss': features.square().mean() + (0 * self.spare).sum()}


def test_compiled_training_is_the_plain_one_from_a_rate_of_0_on(pretraining):
    states = []
    for name, settings in (('plain', False), ('compiled', dict(backend='eager'))):
        cfg = pretraining(
            name,
            model=dict(type='SpareNet'),
            compile=settings,
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
            param_scheduler=dict(
                type='mim_bench.WarmupCosineLR', warmup_epochs=1, convert_to_iter_based=True
            ),
        )
        runner = make_runner(cfg, BenchRunner)
        runner.train()
        states.append(runner.model.state_dict())
    assert (states[0]['spare'] < 1).all()  # decayed only
    torch.testing.assert_close(*states)
