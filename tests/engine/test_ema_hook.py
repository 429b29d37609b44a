"""Averages of weights are of updates, however these are accumulated, and survive a stop."""

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS

from mim_bench.conversion.weight_files import latest_checkpoint
from mim_bench.engine.preemption import StopRequest
from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import RunInterrupted
from mim_bench.testing.hooks import KillHook
from mim_bench.testing.toy_runs import ToyMetric, loader, make_runner

MOMENTUM = 0.25
KINDS = ['EMAHook', 'mmpretrain.EMAHook']


@HOOKS.register_module()
class WeightsHook(Hook):
    """Keeps the weights after each update."""

    def __init__(self):
        self.weights = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.optim_wrapper.should_update():
            self.weights.append(runner.model.backbone.weight.detach().clone())


def train(make, name, kind, *hooks, resume=False, begin_iter=0, **changes):
    """Two epochs of two updates of 6 images, each made of two passes."""
    cfg = make(
        name,
        effective_batch_size=6,
        train_dataloader=loader(length=12, shuffle=True),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=2),
        custom_hooks=[
            dict(type='mim_bench.IterationSeedHook'),
            dict(type=kind, momentum=MOMENTUM, begin_iter=begin_iter),
            dict(type='WeightsHook'),
            *hooks,
        ],
        resume=resume,
        **changes,
    )
    cfg.load_from = str(latest_checkpoint(cfg.work_dir)) if resume else None
    runner = make_runner(cfg, BenchRunner)
    runner.stop_request = StopRequest()
    with runner.stop_request.listening():
        runner.train()
    return runner


def hook_of(runner, kind):
    return next(hook for hook in runner.hooks if isinstance(hook, kind))


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('begin', [0, 3])
def test_average_is_of_the_weights_after_each_update(pretraining, kind, begin):
    runner = train(pretraining, 'run', kind, begin_iter=begin)
    weights = hook_of(runner, WeightsHook).weights
    assert len(weights) == 4
    first, *others = weights[max(0, begin - 1) :]  # the first one is copied
    wanted = first
    for after in others:
        wanted = wanted + MOMENTUM * (after - wanted)
    average = hook_of(runner, EMAHook).ema_model
    torch.testing.assert_close(average.module.backbone.weight, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize('kind', KINDS)
def test_run_stopped_in_a_validation_goes_on_with_its_weights_and_their_average(pretraining, kind):
    validation = dict(
        val_dataloader=loader(length=6),
        val_cfg=dict(),
        val_evaluator=dict(type=ToyMetric.__name__, values={'accuracy/top1': 1.0}),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=2)),
    )
    whole = train(pretraining, 'whole', kind, **validation)
    stop = dict(type=KillHook.__name__, validation=0, name='SIGTERM')
    with pytest.raises(RunInterrupted, match='after 4 iterations'):
        train(pretraining, 'run', kind, stop, **validation)
    resumed = train(pretraining, 'run', kind, resume=True, **validation)
    states = [
        (r.model.state_dict(), hook_of(r, EMAHook).ema_model.state_dict()) for r in (whole, resumed)
    ]
    torch.testing.assert_close(*states, rtol=0, atol=0)
