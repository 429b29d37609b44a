"""The hook updates once after each optimiser step, by a momentum that the iteration decides."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mim_bench.engine.hooks.momentum_hook import MomentumHook
from mim_bench.errors import ConfigError
from mim_bench.models.layers.momentum import MomentumNetwork


class Scalars(dict):
    def update_scalar(self, name, value):
        self.setdefault(name, []).append(value)


def make_runner(every: int, max_iters: int) -> SimpleNamespace:
    model = nn.Module()
    model.backbone = nn.Linear(2, 2)
    model.momentum_network = MomentumNetwork(dict(backbone=model.backbone), base_momentum=0.9)
    optimizer = torch.optim.SGD(model.backbone.parameters(), lr=1.0)
    wrapper = OptimWrapper(optimizer, accumulative_counts=every)
    wrapper.initialize_count_status(model, 0, max_iters)
    return SimpleNamespace(
        model=model,
        optim_wrapper=wrapper,
        max_iters=max_iters,
        iter=0,
        message_hub=Scalars(),
        load_report=None,
    )


def train(runner: SimpleNamespace, stop: int) -> list[int]:
    """The iterations that moved the momentum network, up to iteration ``stop``."""
    hook, moved = MomentumHook(), []
    hook.before_train(runner)
    network = runner.model.momentum_network
    while runner.iter < stop:
        before = int(network.steps)
        runner.optim_wrapper.update_params(runner.model.backbone(torch.ones(1, 2)).sum())
        hook.after_train_iter(runner, runner.iter)
        moved += [runner.iter] * (int(network.steps) - before)
        runner.iter += 1
    return moved


@pytest.mark.parametrize(
    ('every', 'moved'), [(1, [0, 1, 2, 3, 4, 5, 6]), (3, [2, 5, 6]), (4, [3, 6])]
)
def test_momentum_hook_updates_when_the_optimiser_stepped(every, moved):
    # 7 iterations are no whole number of accumulations: the last step is early.
    assert train(make_runner(every, max_iters=7), stop=7) == moved


@pytest.mark.parametrize(('every', 'steps'), [(1, 6), (3, 2)])
def test_momentum_hook_rises_from_the_first_step_over_all_of_them(every, steps):
    runner = make_runner(every, max_iters=6)
    train(runner, stop=6)
    network = runner.model.momentum_network
    expected = [network.momentum_at(step / steps) for step in range(steps)]
    assert runner.message_hub['train/momentum'] == pytest.approx(expected)
    assert expected[0] == pytest.approx(0.9)


def test_momentum_hook_resumed_goes_on_as_if_it_had_not_stopped():
    whole = make_runner(1, max_iters=6)
    start = whole.model.state_dict()
    first, second = make_runner(1, max_iters=6), make_runner(1, max_iters=6)
    first.model.load_state_dict(start)
    train(first, stop=3)
    second.model.load_state_dict(first.model.state_dict())
    second.iter = 3
    train(second, stop=6)
    train(whole, stop=6)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], value, rtol=0, atol=0)


@pytest.mark.parametrize(('is_loaded', 'is_equal'), [(True, True), (False, False)])
def test_momentum_hook_starts_from_a_backbone_that_the_run_loaded(is_loaded, is_equal):
    runner = make_runner(1, max_iters=2)
    nn.init.ones_(runner.model.backbone.weight)
    runner.load_report = object() if is_loaded else None
    MomentumHook().before_train(runner)
    weight = runner.model.momentum_network['backbone'].weight
    assert torch.equal(weight, runner.model.backbone.weight) == is_equal


def test_momentum_hook_without_momentum_network_raises():
    runner = SimpleNamespace(model=nn.Linear(1, 1), load_report=None)
    with pytest.raises(ConfigError, match='Linear has no attribute `momentum_network`'):
        MomentumHook().before_train(runner)
