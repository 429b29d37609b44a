from pathlib import Path

import numpy as np
import torch
from mmengine.registry import DATASETS
from PIL import Image

from mim_bench.engine.runner import BenchRunner
from mim_bench.testing.toy_runs import ToyImages, loader, make_runner


def hook(**settings):
    return dict(type='mim_bench.ReconstructionHook', num_images=2, **settings)


def pictures(runner):
    return {
        path.name: np.asarray(Image.open(path))
        for path in sorted((Path(runner.work_dir) / 'reconstructions').iterdir())
    }


def test_reconstruction_hook_saves_each_interval_and_the_end(pretraining):
    cfg = pretraining(custom_hooks=[hook(interval=2)], train_cfg=dict(by_epoch=True, max_epochs=3))
    runner = make_runner(cfg)
    runner.train()
    saved = pictures(runner)
    assert list(saved) == ['epoch_2.png', 'epoch_3.png']
    # 8 px are enlarged 12 times; 2 rows and 2 columns with gaps of 2 px, a line of titles
    assert saved['epoch_2.png'].shape == (15 + 4 + 2 * 96 + 2, 2 * 96 + 2, 3)


def test_reconstruction_hook_shows_the_same_images_and_draws_each_time(pretraining):
    runner = make_runner(pretraining(custom_hooks=[hook()]))
    runner.train()
    first, second = pictures(runner).values()
    # The toy "predicts" noise from the global generator; the toy's images do not change.
    assert np.array_equal(first, second)


def test_reconstruction_hook_leaves_the_training_as_it_was(pretraining):
    weights = []
    for name, hooks in (('plain', []), ('watched', [hook()])):
        runner = make_runner(pretraining(name, custom_hooks=hooks))
        runner.train()
        weights.append(torch.cat([p.detach().flatten() for p in runner.model.parameters()]))
    assert torch.equal(*weights)


def test_reconstruction_hook_iteration_based_run_names_the_iteration(pretraining):
    sampler = {'sampler': dict(type='InfiniteSampler', shuffle=True)}
    runner = make_runner(
        pretraining(
            train_dataloader=loader() | sampler,
            train_cfg=dict(by_epoch=False, max_iters=3),
            custom_hooks=[hook()],
        )
    )
    runner.train()
    assert list(pictures(runner)) == ['iter_3.png']


def test_reconstruction_hook_without_a_dataloader_shows_the_training_data(pretraining):
    images = []
    for settings in ({}, {'dataloader': loader()}):
        cfg = pretraining(f'run{len(images)}', custom_hooks=[hook(**settings)])
        runner = make_runner(cfg, BenchRunner)
        runner.train()
        images.append(pictures(runner)['epoch_1.png'])
    assert np.array_equal(*images)


class NoisyImages(ToyImages):
    """Draws for each sample, as augmentations and masks do."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return {**sample, 'inputs': sample['inputs'] + np.random.rand()}


def test_reconstruction_hook_of_another_run_draws_the_same_images(pretraining, monkeypatch):
    monkeypatch.setitem(DATASETS.module_dict, 'NoisyImages', NoisyImages)
    shown = []
    for seed in (1, 2):
        changes = {'train_dataloader': loader(type='NoisyImages'), 'randomness': {'seed': seed}}
        cfg = pretraining(f'run{seed}', custom_hooks=[hook()], **changes)
        runner = make_runner(cfg, BenchRunner)
        runner.train()
        shown.append(pictures(runner)['epoch_1.png'])
    assert np.array_equal(*shown)
    top, bottom = shown[0][60, :96], shown[0][-60, :96]
    assert not np.array_equal(top, bottom)
