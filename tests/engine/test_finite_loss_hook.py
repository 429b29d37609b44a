from pathlib import Path

import pytest
import torch

from mim_bench.engine.batch import image_names
from mim_bench.errors import ConfigError, TrainingError
from mim_bench.testing.toy_runs import ToyNet, loader, make_runner

HOOK = dict(type='mim_bench.FiniteLossHook')


def test_finite_loss_hook_nan_names_iteration_and_images(pretraining):
    # Batches of 3 in order: image 7 is in the third.
    runner = make_runner(pretraining(train_dataloader=loader(nan_at=7), custom_hooks=[HOOK]))
    expected = (
        r'iteration 3, epoch 1: on process 0 loss = nan, loss_pixel = nan, on the images '
        r'images/6.jpg, images/7.jpg, images/8.jpg\. Look'
    )
    with pytest.raises(TrainingError, match=expected) as caught:
        runner.train()
    assert 'acc_pixel' not in str(caught.value)
    assert runner.iter == 2


def test_finite_loss_hook_iteration_based_run_names_no_epoch(pretraining):
    runner = make_runner(
        pretraining(
            train_dataloader=loader(nan_at=0)
            | {'sampler': dict(type='InfiniteSampler', shuffle=False)},
            train_cfg=dict(by_epoch=False, max_iters=4),
            custom_hooks=[HOOK],
        )
    )
    with pytest.raises(TrainingError, match=r'iteration 1: on process 0'):
        runner.train()


def test_finite_loss_hook_interval_looks_at_every_nth(pretraining):
    hook = HOOK | {'interval': 2}
    runner = make_runner(pretraining(train_dataloader=loader(nan_at=0), custom_hooks=[hook]))
    with pytest.raises(TrainingError, match='iteration 2'):  # the weights stay NaN
        runner.train()


def test_finite_loss_hook_stops_before_the_checkpoint(pretraining):
    checkpoint = dict(type='CheckpointHook', interval=1, by_epoch=False)
    cfg = pretraining(train_dataloader=loader(nan_at=4), custom_hooks=[HOOK])
    cfg.default_hooks.checkpoint = checkpoint
    runner = make_runner(cfg)
    with pytest.raises(TrainingError, match='iteration 2'):
        runner.train()
    assert (Path(runner.work_dir) / 'last_checkpoint').read_text().endswith('iter_1.pth')


class ZeroNet(ToyNet):
    """The loss is exactly 0 in its first iterations, as without an annotation."""

    zeros = 100

    def forward(self, inputs, data_samples=None, mode='tensor'):
        """As the toy's."""
        self.zeros -= mode == 'loss'
        return {'loss': 0 * self.backbone(inputs).sum() + (self.zeros < 0)}


@pytest.mark.parametrize(('epochs', 'iteration'), [(2, 8), (5, 10)])
def test_finite_loss_hook_zero_from_the_first_step_stops(pretraining, epochs, iteration):
    cfg = pretraining(custom_hooks=[HOOK], train_cfg=dict(by_epoch=True, max_epochs=epochs))
    runner = make_runner(cfg)
    runner.model = ZeroNet()
    with pytest.raises(TrainingError, match=rf'0 from the first .*\({iteration} iterations\)'):
        runner.train()


def test_finite_loss_hook_zero_in_some_steps_passes(pretraining):
    cfg = pretraining(custom_hooks=[HOOK], train_cfg=dict(by_epoch=True, max_epochs=5))
    runner = make_runner(cfg)
    runner.model = ZeroNet()
    runner.model.zeros = 9
    runner.train()
    assert runner.iter == 20


def test_finite_loss_hook_bad_interval_raises(pretraining):
    with pytest.raises(ConfigError, match='interval = 0'):
        make_runner(pretraining(custom_hooks=[HOOK | {'interval': 0}]))


def test_image_names_without_paths_use_what_there_is():
    class Sample:
        def __init__(self, **metainfo):
            self.metainfo = metainfo

    samples = [Sample(img_path='a.jpg'), Sample(sample_idx=0), Sample(img_id=9), object()]
    assert image_names({'data_samples': samples}) == [
        'a.jpg',
        'sample_idx 0',
        'img_id 9',
        'image 3 of the batch',
    ]
    assert image_names({'inputs': torch.zeros(2, 3)}) == [
        'image 0 of the batch',
        'image 1 of the batch',
    ]
