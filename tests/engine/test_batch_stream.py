"""A run in iterations resumes at its batch, and reads nothing that it has had."""

import pytest
from mmengine.registry import DATA_SAMPLERS, DATASETS, HOOKS
from torch.utils.data import SequentialSampler

from mim_bench.engine.runner import BenchRunner
from mim_bench.testing.hooks import KillHook
from mim_bench.testing.toy_runs import ToyImages, loader, make_runner

pytestmark = pytest.mark.stack
READ = []


@DATASETS.register_module()
class CountedImages(ToyImages):
    """Notes each image that is read."""

    def __getitem__(self, index):
        READ.append(int(index))
        return super().__getitem__(index)


@DATA_SAMPLERS.register_module()
class PlainSampler(SequentialSampler):
    """Neither endless nor mmengine's own."""

    def __init__(self, dataset, seed=None, shuffle=False):
        super().__init__(dataset)


class StoppedError(Exception):
    """In the place of a power cut."""


@HOOKS.register_module()
class StopHook(KillHook):
    """Raises before an iteration."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            raise StoppedError


def run(pretraining, sampler, accumulation=1, images=2, stop=None, resume=False):
    """8 updates of 4 images at most, with a checkpoint every 3; the images read."""
    data = loader(batch_size=images, shuffle=True, length=10)
    data['dataset']['type'] = 'CountedImages'
    data['sampler']['type'] = sampler
    cfg = pretraining(
        train_dataloader=data,
        train_cfg=dict(by_epoch=False, max_iters=8),
        effective_batch_size=accumulation * images,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=accumulation),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=3)),
        custom_hooks=[dict(type='StopHook', iteration=stop)] if stop else [],
        resume=resume,
    )
    READ.clear()
    runner = make_runner(cfg, BenchRunner)
    try:
        runner.train()
    except StoppedError:
        assert stop
    return list(READ)


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch):
    """mmengine's own stream waits two seconds between epochs."""
    monkeypatch.setattr('time.sleep', lambda seconds: None)


@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'DefaultSampler'])
@pytest.mark.parametrize('accumulation', [1, 2])
def test_resumed_run_reads_on_where_its_checkpoint_stands(pretraining, sampler, accumulation):
    whole = run(pretraining, sampler, accumulation)
    # 10 images are 5 batches: the checkpoint after 3 or 6 updates lies in a later epoch, too.
    run(pretraining, sampler, accumulation, stop=7 * accumulation)
    rest = run(pretraining, sampler, accumulation, resume=True)
    assert len(whole) == 16 * accumulation
    assert rest == whole[12 * accumulation :]


@pytest.mark.parametrize(('before', 'after'), [((4, 1), (1, 4)), ((1, 4), (2, 2))])
def test_resumed_run_may_accumulate_otherwise(pretraining, before, after):
    sizes = [dict(images=images, accumulation=count) for images, count in (before, after)]
    whole = run(pretraining, 'InfiniteSampler', **sizes[0])
    run(pretraining, 'InfiniteSampler', **sizes[0], stop=4 * before[1])
    rest = run(pretraining, 'InfiniteSampler', **sizes[1], resume=True)
    assert rest == whole[12:]


def test_sampler_of_unknown_order_is_read_through(pretraining):
    whole = run(pretraining, 'PlainSampler')
    run(pretraining, 'PlainSampler', stop=7)
    assert run(pretraining, 'PlainSampler', resume=True) == whole
