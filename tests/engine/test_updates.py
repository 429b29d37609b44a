"""Rates, lengths and checkpoints of a recipe are the same however an update is accumulated."""

from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import DataError
from mim_bench.testing.toy_runs import loader, make_runner

BY_EPOCH = dict(by_epoch=True, max_epochs=3)
BY_ITER = dict(by_epoch=False, max_iters=9, val_interval=3)
COSINE = dict(
    type='mim_bench.WarmupCosineLR', warmup_epochs=1, min_lr=1e-3, convert_to_iter_based=True
)
STEPS = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=4),
    dict(type='PolyLR', eta_min=0.0, by_epoch=False, begin=4),
]


@HOOKS.register_module()
class RateHook(Hook):
    """Keeps the rate and the samples of each forward pass, and where a checkpoint was due."""

    priority = 'VERY_HIGH'

    def __init__(self):
        self.rates, self.samples = [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])
        self.samples.append([s.sample_idx for s in data_batch['data_samples']])


def run(pretraining, images, accumulation, length=24, **changes):
    """Train with 4 images an update; rates and samples of each update."""
    infinite = not changes['train_cfg']['by_epoch']
    data = loader(batch_size=images, shuffle=True, length=length)
    data['drop_last'] = changes.pop('drop_last', True)
    if infinite:
        data['sampler']['type'] = 'InfiniteSampler'
    cfg = pretraining(
        train_dataloader=data,
        effective_batch_size=4,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=accumulation),
        custom_hooks=[dict(type='RateHook')],
        **changes,
    )
    cfg.work_dir = f'{cfg.work_dir}-{images}'
    runner = make_runner(cfg, BenchRunner)
    runner.train()
    hook = next(hook for hook in runner.hooks if isinstance(hook, RateHook))
    rates, samples = groups(hook.rates, accumulation), groups(hook.samples, accumulation)
    return runner, rates, [[i for images in update for i in images] for update in samples]


def groups(items, size):
    return [items[k : k + size] for k in range(0, len(items), size)]


@pytest.mark.parametrize(
    ('train_cfg', 'schedule'), [(BY_EPOCH, COSINE), (BY_EPOCH, STEPS), (BY_ITER, STEPS)]
)
def test_accumulated_updates_have_the_rates_and_samples_of_whole_ones(
    pretraining, train_cfg, schedule
):
    settings = dict(train_cfg=train_cfg, param_scheduler=schedule)
    _, whole, images = run(pretraining, 4, 1, **settings)
    runner, parts, same_images = run(pretraining, 1, 4, **settings)
    assert len({rate for (rate,) in whole}) > 5
    assert parts == [[rate] * 4 for (rate,) in whole]
    assert same_images == images
    assert runner.iter == 4 * len(whole) == 4 * (18 if train_cfg is BY_EPOCH else 9)


@pytest.mark.parametrize(('drop_last', 'updates'), [(True, 5), (False, 6)])
def test_epochs_end_with_whole_updates(pretraining, drop_last, updates):
    settings = dict(train_cfg=BY_EPOCH, param_scheduler=COSINE, length=22, drop_last=drop_last)
    _, whole, images = run(pretraining, 4, 1, **settings)
    _, parts, same_images = run(pretraining, 2, 2, **settings)
    assert len(whole) == len(parts) == 3 * updates
    assert [rate for rate, _ in parts] == [rate for (rate,) in whole]
    for epoch, same_epoch in zip(
        groups(images, updates), groups(same_images, updates), strict=True
    ):
        assert same_epoch[:5] == epoch[:5]
        if not drop_last:  # the epoch's first images complete its last update
            assert epoch[5] == same_epoch[5][:2]
            assert same_epoch[5][2:] == epoch[0][:2]


def test_epoch_shorter_than_an_update_names_the_sizes(pretraining):
    settings = dict(train_cfg=BY_EPOCH, param_scheduler=COSINE, length=3)
    with pytest.raises(
        DataError, match=r'3 samples .* is 2 x 2 accumulated .*effective_batch_size'
    ):
        run(pretraining, 2, 2, **settings)


def test_checkpoints_in_iterations_are_those_of_updates(pretraining):
    checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=3, save_last=False)
    runner, _, _ = run(
        pretraining,
        2,
        2,
        train_cfg=BY_ITER,
        param_scheduler=STEPS,
        default_hooks=dict(checkpoint=checkpoint),
    )
    names = {path.name for path in Path(runner.work_dir).glob('*.pth')}
    assert names == {'iter_6.pth', 'iter_12.pth', 'iter_18.pth'}
    assert runner.train_loop.val_interval == 6


def test_config_without_effective_batch_counts_forward_passes(pretraining):
    settings = dict(train_cfg=BY_ITER, param_scheduler=STEPS)
    data = loader(batch_size=3)
    data['sampler']['type'] = 'InfiniteSampler'
    cfg = pretraining(
        train_dataloader=data,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=3),
        **settings,
    )
    runner = make_runner(cfg, BenchRunner)
    runner.train()
    assert runner.iter == 9
